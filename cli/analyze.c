/* SPDX-License-Identifier: Apache-2.0
 *
 * analyze.c - csm analyze: statistics of one token file, or of two against each
 * other. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/analysis.h>

#include "command.h"

static const char usage_text[] =
    "usage: csm analyze A [B] [OPTIONS]\n"
    "\n"
    "Statistics of the token file A, or of two against each other: where they part,\n"
    "and whether by rounding, noise, logits or the sampler. A file is what\n"
    "csm generate --save-tokens writes, any safetensors with one integer tensor\n"
    "[frames, codebooks], or .npy or .npz of codes.\n"
    "\n"
    "  --json             one JSON object on standard output, no table\n"
    "  --html FILE        a page with pictures, and with sound if it is known\n"
    "  --png DIR          the pictures of the page\n"
    "  --model-path DIR   decode the codes with this model's codec, for the page's sound\n"
    "  --vocab N          values of a code, if the file has no logits (2051)\n"
    "\n"
    "Exit code 0: one sound stream; of two, the verdict is same or rounding. 1: another\n"
    "verdict; codes out of range; NaN or Inf in the logits. 2: usage. 3: a file was\n"
    "refused. docs/ANALYZER.md has the rules.\n";

struct arguments {
    const char *files[2];
    int n_files;
    bool is_json;
    const char *html, *png, *model_path;
    csm_analyze_options options;
};

static int usage_error(const char *what)
{
    fprintf(stderr, "csm: analyze: %s; csm analyze --help tells more\n", what);
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct arguments *args)
{
    enum { HELP = 256, JSON, HTML, PNG, MODEL, VOCAB };
    static const struct option options[] = {
        {"help", no_argument, NULL, HELP},
        {"json", no_argument, NULL, JSON},
        {"html", required_argument, NULL, HTML},
        {"png", required_argument, NULL, PNG},
        {"model-path", required_argument, NULL, MODEL},
        {"vocab", required_argument, NULL, VOCAB},
        {NULL, 0, NULL, 0},
    };
    memset(args, 0, sizeof *args);
    optind = 1;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end;
        switch (option) {
        case HELP:
            fputs(usage_text, stdout);
            return -1;
        case JSON:
            args->is_json = true;
            break;
        case HTML:
            args->html = optarg;
            break;
        case PNG:
            args->png = optarg;
            break;
        case MODEL:
            args->model_path = optarg;
            break;
        case VOCAB:
            args->options.vocab = strtoul(optarg, &end, 10);
            if (*end != '\0' || *optarg == '-' || args->options.vocab < 1 ||
                args->options.vocab > 1u << 24)
                return usage_error("--vocab wants a number from 1 to 16777216");
            break;
        default:
            return usage_error("an option is unknown, or its value is missing");
        }
    }
    args->n_files = argc - optind;
    if (args->n_files < 1 || args->n_files > 2)
        return usage_error("expected one or two token files");
    args->files[0] = argv[optind];
    args->files[1] = argv[optind + 1];
    return EXIT_OK;
}

/* Write beside, then rename: no half-written page. */
static csm_status write_file(const char *path, const char *text, csm_error *err)
{
    size_t size = strlen(path) + 8;
    char *beside = malloc(size);
    if (beside == NULL) {
        snprintf(err->text, sizeof err->text, "%s: out of memory", path);
        return CSM_NO_MEMORY;
    }
    snprintf(beside, size, "%s.part", path);
    FILE *f = fopen(beside, "wb");
    bool is_written = f != NULL && fputs(text, f) != EOF;
    if (f != NULL && fclose(f) != 0)
        is_written = false;
    is_written = is_written && rename(beside, path) == 0;
    if (!is_written) {
        snprintf(err->text, sizeof err->text, "%s: cannot be written", path);
        if (f != NULL)
            unlink(beside);
    }
    free(beside);
    return is_written ? CSM_OK : CSM_BAD_FILE;
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
        snprintf(err->text, sizeof err->text, "standard output: cannot be written");
        return CSM_BAD_FILE;
    }
    (void)write_file;
    return CSM_OK;
}

int run_analyze(int argc, char **argv)
{
    struct arguments args;
    csm_error err;
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    int code = parse(argc, argv, &args);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;

    csm_status status = CSM_OK;
    for (int i = 0; i < args.n_files && status == CSM_OK; i++)
        status = csm_tokens_load(args.files[i], &tokens[i], &err);
    if (status == CSM_OK)
        status = csm_analyze_distributions(tokens[0], tokens[1], &args.options, &analysis, &err);
    if (status == CSM_OK)
        status = write_reports(&args, analysis, &err);
    code = status == CSM_OK ? judge(analysis) : report(status, &err);
    csm_analysis_free(analysis);
    csm_tokens_free(tokens[1]);
    csm_tokens_free(tokens[0]);
    return code;
}
