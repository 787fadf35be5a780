/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.c - csm codec: sound to codes and back, without the language model. */
#include <stdio.h>
#include <string.h>

#include "choices.h"
#include "command.h"
#include "model_path.h"
#include "option_ranges.h"
#include "options.h"
#include "tokens.h"

static const char help[] =
    "usage: csm codec encode IN OUT.safetensors [OPTIONS]\n"
    "       csm codec decode IN OUT|-|none [OPTIONS]\n"
    "Sound of any format to codes, tensor codes I32 [frames, codebooks], and back: from\n"
    "safetensors, .npy or .npz, integers of any size, either way round. IN may be -: standard\n"
    "input.\n\n"
    "  --model-path DIR  a model or a codec; default: the embedded voice's\n"
    "  --format F --sample-rate HZ --title TEXT   of decoded sound, as csm generate has them\n"
    "  --codebooks N     encode with the first N (default: all)\n"
    "  --engine E        native (default) or mlx\n"
    "  --threads N       default: one per core\n";

int run_codec(int argc, char **argv)
{
    const char *model_path = NULL;
    struct written written = {0};
    const char *given[3] = {NULL, NULL, NULL};
    size_t n_codebooks = 0;
    csm_model_options options = csm_model_defaults();
    const struct option_spec table[] = {
        {"model-path", OPTION_TEXT, &model_path},
        {"format", OPTION_TEXT, &written.format_name},
        {"codebooks", OPTION_COUNT, &n_codebooks},
        {"engine", OPTION_TEXT, &options.codec_engine},
        {"sample-rate", OPTION_INT, &written.rate_hz},
        {"title", OPTION_TEXT, &written.title},
        {"threads", OPTION_INT, &options.n_threads},
        {NULL, OPTION_FLAG, NULL},
    };
    enum { CODEBOOKS = 2 /* in the table */ };
    bool is_given[sizeof table / sizeof *table] = {false};
    enum parsed parsed = parse_options_given(argc, argv, table, help, given, 3, is_given);
    if (parsed == PARSED && !options_are_in_range(table, is_given))
        parsed = PARSED_WRONG;
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    bool is_encode = given[0] != NULL && strcmp(given[0], "encode") == 0;
    if (given[2] == NULL || (!is_encode && strcmp(given[0], "decode") != 0)) {
        fputs("csm: codec: expected encode IN OUT or decode IN OUT; --help tells more\n", stderr);
        return EXIT_USAGE;
    }
    if (is_encode &&
        (written.format_name != NULL || written.rate_hz != 0 || written.title != NULL)) {
        fputs("csm: codec encode: --format, --sample-rate and --title are of decode\n", stderr);
        return EXIT_USAGE;
    }
    if (!is_encode && is_given[CODEBOOKS]) {
        fputs("csm: codec decode: --codebooks is of encode: the file has its own\n", stderr);
        return EXIT_USAGE;
    }
    if (is_encode && strcmp(given[2], "none") == 0) {
        fputs("csm: codec encode: 'none', expected a file to write, or -\n", stderr);
        return EXIT_USAGE;
    }
    if ((!is_encode && !written_choose(&written, &given[2])) ||
        overwrites("codec", given[2], given[1]) ||
        (is_encode && !names_tensors("codec encode", given[2])))
        return EXIT_USAGE;
    csm_error err;
    char *downloaded = NULL;
    struct marking marking = {.is_on = false};
    csm_status st = marking_read(&marking, &err);
    if (st == CSM_OK)
        st = model_path_resolve(&model_path, false, &downloaded, &err);
    if (st == CSM_OK)
        st = is_encode
                 ? tokens_from_sound(given[1], model_path, &options, n_codebooks, given[2], &err)
                 : tokens_to_sound(given[1], model_path, &options, given[2], &written, &marking,
                                   &err);
    csm_free(downloaded);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
