/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h - command lines: --name VALUE, --name=VALUE, --flag, and operands. */
#ifndef CSM_CLI_OPTIONS_H
#define CSM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG, /* bool: set to true */
    OPTION_TEXT, /* const char * */
    OPTION_SAY,  /* the same: what is to be said */
    OPTION_IN,   /* const char *: a file that is read; "-" is standard input */
    OPTION_OUT,  /* const char *: a file that is written; "-" and "none" are none */
    OPTION_TENSORS, /* as OPTION_OUT, a safetensors file: a name that promises another is refused */
    OPTION_SIZE, /* size_t: a whole number */
    OPTION_COUNT, /* size_t: a whole number, 1 or more, so that 0 can stand for "not given" */
    OPTION_SEED, /* uint64_t: -2^63 to 2^64 - 1 as torch.manual_seed takes them (-1 is 2^64 - 1), or
                  * random: one from the system, told on standard error */
    OPTION_INT,  /* int: a whole number, which may be negative */
    OPTION_REAL, /* double, finite */
    OPTION_LIST, /* struct option_list: repeatable, one more each time */
    OPTION_INS   /* struct option_list: files that are read */
};

/* What a repeatable option was given: zero before. */
struct option_list {
    const char *items[64];
    size_t n;
};

struct option_spec {
    const char *name; /* without the dashes; NULL ends the table */
    enum option_kind kind;
    void *value; /* keeps what it has if the option is not given; the last one counts, which is
                 * told where a text or a file is dropped by it */
};

/* What to do after parsing. */
enum parsed {
    PARSED,       /* go on */
    PARSED_HELP,  /* --help was given and answered: exit with EXIT_OK */
    PARSED_WRONG, /* a mistake was reported: exit with EXIT_USAGE */
};

/* As torch.manual_seed reads a number, -2^63 to 2^64 - 1: a negative one stands for itself +
 * 2^64. False: it is none. */
bool seed_of_digits(const char *text, uint64_t *seed);

/* Would writing the file `out`, which the command line calls `by`, overwrite the file
 * `in`? Says so on standard error. Either may be NULL. */
bool overwrites(const char *by, const char *out, const char *in);

/* Whether a safetensors file may have that name; if not, says so on standard error, as what
 * the command line calls `by`. */
bool names_tensors(const char *by, const char *path);

/* Whether a model's directory may be made under that name, which ends as no file does; else as
 * names_tensors. */
bool names_directory(const char *by, const char *path);

/* Read argv[1..]. An output that is also an input, another option's or an operand, is
 * a mistake, and so is one file for two outputs. Operands go to operands[0..n_operands-1], in order; those not
 * given stay NULL. `--` ends the options; a lone `-` is an operand. A table of at most 64. */
enum parsed parse_options(int argc, char **argv, const struct option_spec *options,
                          const char *help, const char **operands, size_t n_operands);

/* The same, and which of them were given: given[i], false before, for options[i]. */
enum parsed parse_options_given(int argc, char **argv, const struct option_spec *options,
                                const char *help, const char **operands, size_t n_operands,
                                bool *given);

#endif
