/* SPDX-License-Identifier: Apache-2.0
 *
 * csm.c - the command: finds the subcommand and runs it. */
#include "command.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"generate", run_generate, "text in, speech out"},
    {"synth", run_synth, "a corpus of speech from a manifest"},
    {"detect", run_detect, "whether sound carries the mark of generated speech"},
    {"voice", run_voice, "voices by name: add, list, remove"},
    {"codec", run_codec, "sound to codes and back"},
    {"serve", run_serve, "speech over HTTP, WebSocket and Wyoming"},
    {"info", run_info, "what a model directory holds"},
    {"download", run_download, "a model by its name into the hub cache"},
    {"sample", run_sample, "draw tokens from logits as PyTorch or MLX would"},
    {"noise", run_noise, "the raw numbers of a random stream"},
    {"analyze", run_analyze, "what was drawn, and whether two programs draw alike"},
    {"bench", run_bench, "milliseconds a frame, next to the memory's limit"},
    {"merge", run_merge, "write a model with its adapters (LoRA) merged"},
    {"quantize", run_quantize, "write a model in 1 to 8 bits, as MLX reads it"},
    {NULL, NULL, NULL},
};

static int usage(FILE *to)
{
    fputs("usage: csm COMMAND [OPTIONS]; csm COMMAND --help tells more\n\n", to);
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->summary);
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

/* Whether the program was called by that name, whatever the path before it. */
static bool is_called(const char *argv0, const char *name)
{
    const char *slash = strrchr(argv0, '/');
    return strcmp(slash != NULL ? slash + 1 : argv0, name) == 0;
}

static int run(int argc, char **argv)
{
    if (argc > 0 && is_called(argv[0], "csm-generate-mlx"))
        return run_generate(argc, argv);
    if (argc < 2)
        return usage(stderr);
    const bool asks_help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                           strcmp(argv[1], "-h") == 0;
    if (asks_help && argc == 2)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("csm %s\n", csm_version());
        return EXIT_OK;
    }
    char *help[] = {argv[asks_help ? 2 : 1], "--help", NULL};
    for (const struct command *c = commands; c->name != NULL; c++)
        if (strcmp(help[0], c->name) == 0)
            return asks_help ? c->run(2, help) : c->run(argc - 1, argv + 1);
    fprintf(stderr, "csm: no command '%s'\n", help[0]);
    return usage(stderr);
}

/* What was printed is part of the answer: a full disk fails every command. One over the limit
 * of a file's size does so as any other, in place of killing the process amid its files. */
int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN);
    int code = run(argc, argv);
    if ((fflush(stdout) == 0 && !ferror(stdout)) || code >= EXIT_USAGE)
        return code; /* a command that failed has said why */
    fprintf(stderr, "csm: standard output: cannot be written\n");
    return EXIT_REFUSED;
}
