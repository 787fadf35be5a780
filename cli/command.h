/* SPDX-License-Identifier: Apache-2.0
 *
 * command.h - what the subcommands share. */
#ifndef CSM_CLI_COMMAND_H
#define CSM_CLI_COMMAND_H

#include <csm/status.h>

/* Exit codes of every subcommand, relied on by scripts. */
enum {
    EXIT_OK = 0,
    EXIT_CHECK_FAILED = 1, /* a comparison or check did not hold */
    EXIT_USAGE = 2,
    EXIT_REFUSED = 3, /* a file or model was refused */
    EXIT_ENGINE = 4   /* an engine failed */
};

/* Print `csm: message` on standard error and give the status's exit code. */
int report(csm_status status, const csm_error *err);

/* One subcommand: argv[0] is its name. Returns an exit code. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* one line of `csm help` */
};

int run_analyze(int argc, char **argv);
int run_bench(int argc, char **argv);
int run_codec(int argc, char **argv);
int run_detect(int argc, char **argv);
int run_download(int argc, char **argv);
int run_generate(int argc, char **argv);
int run_info(int argc, char **argv);
int run_merge(int argc, char **argv);
int run_noise(int argc, char **argv);
int run_quantize(int argc, char **argv);
int run_sample(int argc, char **argv);
int run_serve(int argc, char **argv);
int run_synth(int argc, char **argv);
int run_voice(int argc, char **argv);

#endif
