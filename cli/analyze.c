/* SPDX-License-Identifier: Apache-2.0
 *
 * analyze.c - csm analyze: statistics of one token file, of two against each
 * other, or of a corpus. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/analysis.h>

#include "command.h"
#include "corpus.h"
#include "model_path.h"
#include "options.h"
#include "tokens.h"

static const char usage_text[] =
    "usage: csm analyze A [B] [OPTIONS]\n"
    "       csm analyze --corpus DIR [--json] [--html FILE]\n"
    "\n"
    "Statistics of the token file A, or of two against each other: where they part,\n"
    "and whether by rounding, noise, logits or the sampler. A file is what\n"
    "csm generate --save-tokens writes, any safetensors with one integer tensor\n"
    "[frames, codebooks], or .npy or .npz of codes.\n"
    "\n"
    "  --corpus DIR       a corpus of csm synth: durations, loudness, clipping, silence, endings,\n"
    "                     speakers, equal sounds: docs/CORPORA.md\n"
    "  --json             one JSON object on standard output, no table\n"
    "  --html FILE        a page with pictures, and with sound if it is known\n"
    "  --png DIR          the pictures of the page\n"
    "  --model-path DIR   decode the codes with this model's codec, for the page's sound\n"
    "  --vocab N          values of a code, if the file has no logits (2051)\n"
    "\n"
    "Exit code 0: one sound stream; of two, the verdict is same or rounding. 1: another\n"
    "verdict; codes out of range; NaN or Inf in the logits; a file of the corpus is not\n"
    "whole. 2: usage. 3: a file was refused. docs/ANALYZER.md has the rules.\n";

struct arguments {
    const char *files[2];
    bool is_json;
    const char *html, *png, *model_path, *corpus;
    csm_analyze_options options;
};

static int parse(int argc, char **argv, struct arguments *args, enum parsed *parsed)
{
    memset(args, 0, sizeof *args);
    const struct option_spec options[] = {
        {"corpus", OPTION_TEXT, &args->corpus},
        {"json", OPTION_FLAG, &args->is_json},
        {"html", OPTION_OUT, &args->html},
        {"png", OPTION_TEXT, &args->png},
        {"model-path", OPTION_TEXT, &args->model_path},
        {"vocab", OPTION_COUNT, &args->options.vocab},
        {NULL, OPTION_FLAG, NULL},
    };
    *parsed = parse_options(argc, argv, options, usage_text, args->files, 2);
    if (*parsed != PARSED)
        return *parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (args->corpus != NULL && (args->files[0] != NULL || args->png != NULL ||
                                 args->model_path != NULL || args->options.vocab != 0)) {
        fputs("csm: analyze: --corpus goes with --json and --html alone\n", stderr);
        return EXIT_USAGE;
    }
    if (args->corpus == NULL && args->files[0] == NULL) {
        fputs("csm: analyze: no file, expected one or two token files\n", stderr);
        return EXIT_USAGE;
    }
    if (args->options.vocab > 1u << 24) {
        fputs("csm: analyze: --vocab, expected at most 16777216\n", stderr);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* Decode the codes with a model's codec, so that the page has sound. Codes that the
 * codec has no sound for leave a stream silent: the report counts them. */
static csm_status add_sound(const char *model_path, csm_tokens **tokens, csm_error *err)
{
    csm_codec *codec = NULL;
    char *downloaded;
    csm_status status = model_path_resolve(&model_path, false, &downloaded, err);
    if (status == CSM_OK)
        status = csm_codec_open(model_path, NULL, &codec, err);
    csm_free(downloaded);
    for (int i = 0; i < 2 && status == CSM_OK; i++) {
        csm_tokens *t = tokens[i];
        if (t == NULL || t->n_frames == 0)
            continue;
        csm_codec_info info = *csm_codec_describe(codec);
        bool has_sound = t->n_codebooks <= info.n_codebooks;
        for (size_t c = 0; c < t->n_frames * t->n_codebooks && has_sound; c++)
            has_sound = t->codes[c] >= 0 && (size_t)t->codes[c] < info.n_entries;
        if (!has_sound)
            continue;
        size_t n = t->n_frames * info.frame_samples;
        float *samples = calloc(n, sizeof *samples);
        if (samples == NULL) {
            (void)csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
            status = CSM_NO_MEMORY;
            break;
        }
        status = csm_codec_decode(codec, t->codes, t->n_frames, t->n_codebooks, samples, err);
        if (status == CSM_OK)
            status = csm_tokens_set_samples(t, samples, n, info.sample_rate_hz, err);
        free(samples);
    }
    csm_codec_close(codec);
    return status;
}

/* Of two that part in shape, one may lie as [codebooks, frames]: it is the one with more
 * columns, since codebooks are few. */
static csm_status order_pair(csm_tokens **tokens, csm_error *err)
{
    if (tokens[0] == NULL || tokens[1] == NULL || tokens[0]->n_codebooks == tokens[1]->n_codebooks)
        return CSM_OK;
    const int wide = tokens[1]->n_codebooks > tokens[0]->n_codebooks;
    const size_t n_codebooks = tokens[!wide]->n_codebooks, before = tokens[wide]->n_codebooks;
    if (tokens[wide]->n_frames != n_codebooks)
        return CSM_OK;
    const csm_status status = tokens_order(&tokens[wide], n_codebooks, err);
    if (status == CSM_OK && tokens[wide]->n_codebooks != before)
        fprintf(stderr, "csm: %s: taken as [codebooks, frames], and turned round\n",
                tokens[wide]->name);
    return status;
}

/* The verdict, or of one stream its soundness, as an exit code. */
static int judge(const csm_analysis *analysis)
{
    for (int i = 0; i < 1 + (analysis->b != NULL); i++)
        if (analysis->stats[i].all.n_out_of_range != 0 || analysis->stats[i].health.has_bad)
            return EXIT_CHECK_FAILED;
    return analysis->b == NULL || analysis->comparison.holds ? EXIT_OK : EXIT_CHECK_FAILED;
}

static csm_status write_reports(const struct arguments *args, const csm_analysis *analysis,
                                csm_error *err)
{
    char *text = NULL;
    csm_status status = args->is_json
                            ? csm_analysis_json(analysis, &text, err)
                            : csm_analysis_text(analysis, isatty(STDOUT_FILENO) != 0, &text, err);
    if (status != CSM_OK)
        return status;
    printf("%s%s", text, args->is_json ? "\n" : "");
    csm_free(text);
    if (fflush(stdout) != 0) {
        (void)csm_fail(err, CSM_BAD_FILE, "standard output: cannot be written");
        return CSM_BAD_FILE;
    }
    if (args->html != NULL)
        status = csm_analysis_html(analysis, args->html, err);
    if (status == CSM_OK && args->png != NULL)
        status = csm_analysis_png(analysis, args->png, err);
    return status;
}

static int run_corpus(const struct arguments *args)
{
    csm_error err;
    json_t *json;
    bool is_sound = false;
    csm_status st = corpus_read(args->corpus, &json, &is_sound, &err);
    if (st == CSM_OK)
        st = args->is_json ? corpus_print_json(json, &err) : corpus_print(json, &err);
    if (st == CSM_OK && args->html != NULL)
        st = corpus_page(json, args->html, &err);
    json_decref(json);
    return st != CSM_OK ? report(st, &err) : is_sound ? EXIT_OK : EXIT_CHECK_FAILED;
}

int run_analyze(int argc, char **argv)
{
    struct arguments args;
    csm_error err;
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    enum parsed parsed;
    int code = parse(argc, argv, &args, &parsed);
    if (parsed != PARSED || code != EXIT_OK)
        return code;
    if (args.corpus != NULL)
        return run_corpus(&args);

    csm_status status = CSM_OK;
    for (int i = 0; i < 2 && args.files[i] != NULL && status == CSM_OK; i++)
        status = csm_tokens_open(args.files[i], &tokens[i], &err);
    if (status == CSM_OK)
        status = order_pair(tokens, &err);
    if (status == CSM_OK && args.model_path != NULL)
        status = add_sound(args.model_path, tokens, &err);
    if (status == CSM_OK)
        status = csm_analyze_distributions(tokens[0], tokens[1], &args.options, &analysis, &err);
    if (status == CSM_OK)
        status = write_reports(&args, analysis, &err);
    code = status == CSM_OK ? judge(analysis) : report(status, &err);
    csm_analysis_close(analysis);
    csm_tokens_close(tokens[1]);
    csm_tokens_close(tokens[0]);
    return code;
}
