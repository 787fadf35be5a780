/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.c - csm codec: sound to codes and back, without the language model. */
#include <stdio.h>
#include <string.h>

#include "choices.h"
#include "command.h"
#include "model_path.h"
#include "options.h"
#include "tokens.h"

static const char help[] =
    "usage: csm codec encode IN OUT.safetensors [OPTIONS]\n"
    "       csm codec decode IN.safetensors OUT.wav|-|none [OPTIONS]\n"
    "Sound of any format to codes, tensor codes I32 [frames, codebooks], and back.\n\n"
    "  --model-path DIR  a model or a codec; default: the embedded voice's\n"
    "  --format F        of decoded sound: wav (16 bit, default), wav-f32, s16le, f32le\n"
    "  --codebooks N     encode with the first N (default: all)\n"
    "  --engine E        native (default) or mlx\n"
    "  --threads N       default: one per core\n";

int run_codec(int argc, char **argv)
{
    const char *model_path = NULL, *format_name = "wav";
    const char *given[3] = {NULL, NULL, NULL};
    size_t n_codebooks = 0;
    csm_model_options options = csm_model_defaults();
    const struct option_spec table[] = {
        {"model-path", OPTION_TEXT, &model_path},     {"format", OPTION_TEXT, &format_name},
        {"codebooks", OPTION_SIZE, &n_codebooks},     {"engine", OPTION_TEXT, &options.codec_engine},
        {"threads", OPTION_INT, &options.n_threads},  {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, table, help, given, 3);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    bool is_encode = given[0] != NULL && strcmp(given[0], "encode") == 0;
    if (given[2] == NULL || (!is_encode && strcmp(given[0], "decode") != 0)) {
        fputs("csm: codec: expected encode IN OUT or decode IN OUT; --help tells more\n", stderr);
        return EXIT_USAGE;
    }
    csm_audio_format format;
    if (!choose_audio_format(format_name, &format) || overwrites("codec", given[2], given[1]))
        return EXIT_USAGE;
    csm_error err;
    char *downloaded;
    csm_status st = model_path_resolve(&model_path, false, &downloaded, &err);
    if (st == CSM_OK)
        st = is_encode ? tokens_from_sound(given[1], model_path, &options, n_codebooks, given[2],
                                           &err)
                       : tokens_to_sound(given[1], model_path, &options, given[2], format,
                                         &(struct marking){.is_on = false}, &err);
    csm_free(downloaded);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
