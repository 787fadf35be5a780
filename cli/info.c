/* SPDX-License-Identifier: Apache-2.0
 *
 * info.c - csm info: what a model directory holds, with every tensor's name and
 * shape checked. */
#include <stdio.h>

#include <jansson.h>

#include <csm/csm.h>
#include <csm/notes.h>

#include "command.h"
#include "json_shown.h"
#include "model_path.h"
#include "options.h"

static const char help[] =
    "usage: csm info [DIR|ORG/NAME] [--json]\n"
    "What a model directory holds (default: the embedded voice); every tensor's name\n"
    "and shape is checked.\n\n"
    "  --json            one JSON object\n"
    "  --model-path DIR  the same as DIR\n";

static void print_transformer(const char *name, const csm_transformer_info *t)
{
    printf("%-16s %zu layers of %zu, %zu heads of %zu, %zu of keys and values, MLP %zu\n", name,
           t->n_layers, t->width, t->n_heads, t->head_dim, t->n_kv_heads, t->hidden);
}

static void print_table(const csm_model_info *i)
{
    printf("%-16s %s\n", "path", i->path);
    printf("%-16s %s, %s layout, stored as %s\n", "model", i->name, i->layout, i->stored_dtype);
    printf("%-16s %s\n", "digest", i->digest);
    printf("%-16s %.2f million values, %.1f MB\n", "language model", (double)i->n_parameters / 1e6,
           (double)i->n_bytes / 1e6);
    print_transformer("backbone", &i->backbone);
    print_transformer("depth decoder", &i->depth);
    printf("%-16s %zu codebooks of %zu values, text of %zu ids, %zu positions\n", "tokens",
           i->n_codebooks, i->vocab, i->text_vocab, i->max_positions);
    if (i->has_codec)
        printf("%-16s %s layout, %.2f million values, %.1f MB, %zu entries a codebook\n", "codec",
               i->codec_layout, (double)i->n_codec_parameters / 1e6,
               (double)i->n_codec_bytes / 1e6, i->n_entries);
    else
        printf("%-16s none: tokens can be drawn, but not heard\n", "codec");
    printf("%-16s %d Hz, frames of %zu samples (%.0f ms)\n", "sound", i->sample_rate_hz,
           i->frame_samples, i->frame_ms);
    printf("%-16s temperature %g, top-k %d; depth decoder %g, %d; speaker %d\n", "defaults",
           i->temperature, i->top_k, i->depth_temperature, i->depth_top_k, i->default_speaker);
}

/* What is not used, taken off or applied, and why. */
static void print_notes(const csm_model *model)
{
    size_t n = 0;
    const csm_note *notes = csm_model_notes(model, &n);
    for (size_t i = 0; i < n; i++)
        printf("%-16s %s\n", notes[i].is_warning ? "warning" : "note", notes[i].text);
}

static json_t *notes_json(const csm_model *model)
{
    size_t n = 0;
    const csm_note *notes = csm_model_notes(model, &n);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s, s:b}", "text", notes[i].text, "is_warning",
                                             notes[i].is_warning));
    return all;
}

static json_t *transformer_json(const csm_transformer_info *t)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "layers", (json_int_t)t->n_layers, "width",
                     (json_int_t)t->width, "heads", (json_int_t)t->n_heads, "kv_heads",
                     (json_int_t)t->n_kv_heads, "head_dim", (json_int_t)t->head_dim, "mlp",
                     (json_int_t)t->hidden);
}

static int print_json(const csm_model *model)
{
    const csm_model_info *i = csm_model_describe(model);
    json_t *codec = i->has_codec
                        ? json_pack("{s:s, s:I, s:I, s:I}", "layout", i->codec_layout, "parameters",
                                    (json_int_t)i->n_codec_parameters, "bytes",
                                    (json_int_t)i->n_codec_bytes, "entries",
                                    (json_int_t)i->n_entries)
                        : json_null();
    json_t *all = json_pack(
        "{s:o, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:i, s:I, s:f, "
        "s:f, s:i, s:f, s:i, s:i, s:o}",
        "path", json_shown(i->path), "name", i->name, "layout", i->layout, "stored_dtype", i->stored_dtype,
        "digest", i->digest, "parameters", (json_int_t)i->n_parameters, "bytes",
        (json_int_t)i->n_bytes, "backbone", transformer_json(&i->backbone), "depth_decoder",
        transformer_json(&i->depth), "codec", codec, "codebooks", (json_int_t)i->n_codebooks,
        "vocab", (json_int_t)i->vocab, "text_vocab", (json_int_t)i->text_vocab, "max_positions",
        (json_int_t)i->max_positions, "sample_rate_hz", i->sample_rate_hz, "frame_samples",
        (json_int_t)i->frame_samples, "frame_ms", i->frame_ms, "temperature", i->temperature,
        "topk", i->top_k, "depth_temperature", i->depth_temperature, "depth_topk", i->depth_top_k,
        "default_speaker", i->default_speaker, "notes", notes_json(model));
    int failed = all == NULL ||
                 json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0 ||
                 putchar('\n') == EOF;
    json_decref(all);
    if (failed)
        fputs("csm: --json: standard output cannot be written\n", stderr);
    return failed ? EXIT_REFUSED : EXIT_OK;
}

int run_info(int argc, char **argv)
{
    bool is_json = false;
    const char *model_path = NULL, *given = NULL;
    const struct option_spec table[] = {
        {"json", OPTION_FLAG, &is_json},
        {"model-path", OPTION_TEXT, &model_path},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, table, help, &given, 1);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (given != NULL && model_path != NULL) {
        fputs("csm: info: DIR and --model-path DIR are the same, expected one\n", stderr);
        return EXIT_USAGE;
    }
    csm_model_options options = csm_model_defaults();
    options.describe_only = true;
    csm_model *model = NULL;
    csm_error err;
    const char *path = given != NULL ? given : model_path;
    char *downloaded;
    csm_status st = model_path_resolve(&path, false, &downloaded, &err);
    if (st == CSM_OK)
        st = csm_model_open(path, &options, &model, &err);
    csm_free(downloaded);
    if (st != CSM_OK)
        return report(st, &err);
    int exit_code = EXIT_OK;
    if (is_json) {
        exit_code = print_json(model);
    } else {
        print_table(csm_model_describe(model));
        print_notes(model);
    }
    csm_model_close(model);
    return exit_code;
}
