/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file_names.h"

enum { MAX_OPTIONS = 64 }; /* of a table whose caller does not ask which were given */

static bool read_whole(const char *text, uint64_t highest, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n > highest)
        return false;
    *value = n;
    return true;
}

static bool read_real(const char *text, double *value)
{
    char *end;
    double x = strtod(text, &end);
    if (text[strspn(text, "0123456789.eE+-")] != '\0' || end == text || *end != '\0' || !isfinite(x))
        return false;
    *value = x;
    return true;
}

static bool read_int(const char *text, int *value)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (text[strspn(text, "0123456789-")] != '\0' || end == text || *end != '\0' || errno != 0 || n <= INT_MIN || n > INT_MAX) /* INT_MIN is csm.h's "not set" */
        return false;
    *value = (int)n;
    return true;
}

static bool seed_of_system(uint64_t *seed)
{
    FILE *f = fopen("/dev/urandom", "rb");
    bool is_read = f != NULL && fread(seed, sizeof *seed, 1, f) == 1;
    if (f != NULL)
        fclose(f);
    return is_read;
}

bool seed_of_digits(const char *text, uint64_t *seed)
{
    if (*text != '-')
        return read_whole(text, UINT64_MAX, seed);
    if (!read_whole(text + 1, (uint64_t)INT64_MAX + 1, seed))
        return false;
    *seed = 0 - *seed;
    return true;
}

static bool read_seed(const char *name, const char *text, uint64_t *seed)
{
    if (strcmp(text, "random") != 0)
        return seed_of_digits(text, seed);
    if (!seed_of_system(seed))
        return false;
    fprintf(stderr, "csm: --%s random: %" PRIu64 "\n", name, *seed);
    return true;
}

static bool append(struct option_list *list, const char *text)
{
    if (list->n == sizeof list->items / sizeof *list->items)
        return false;
    list->items[list->n++] = text;
    return true;
}

static bool store(const struct option_spec *option, const char *text)
{
    uint64_t whole;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->value = true;
        return true;
    case OPTION_TEXT:
    case OPTION_SAY:
    case OPTION_IN:
    case OPTION_OUT:
    case OPTION_TENSORS:
        *(const char **)option->value = text;
        return true;
    case OPTION_SIZE:
    case OPTION_COUNT:
        if (!read_whole(text, SIZE_MAX, &whole) || (whole == 0 && option->kind == OPTION_COUNT))
            return false;
        *(size_t *)option->value = (size_t)whole;
        return true;
    case OPTION_SEED:
        return read_seed(option->name, text, option->value);
    case OPTION_INT:
        return read_int(text, option->value);
    case OPTION_REAL:
        return read_real(text, option->value);
    case OPTION_LIST:
    case OPTION_INS:
        return append(option->value, text);
    }
    return false;
}

/* What store() takes. */
static const char *expected(enum option_kind kind)
{
    switch (kind) {
    case OPTION_REAL: return "a finite number";
    case OPTION_LIST:
    case OPTION_INS: return "at most 64 of them";
    case OPTION_SEED: return "a whole number from -2^63 to 2^64 - 1, or random";
    case OPTION_COUNT: return "a whole number, 1 or more";
    case OPTION_INT: return "a whole number, at most 2^31 - 1";
    default: return "a whole number";
    }
}

static bool is_output(enum option_kind kind)
{
    return kind == OPTION_OUT || kind == OPTION_TENSORS;
}

/* A second one drops what the first asked for; other options may override a default of a script's. */
static bool drops(enum option_kind kind)
{
    return kind == OPTION_SAY || kind == OPTION_IN || is_output(kind);
}

static const struct option_spec *find(const struct option_spec *options, const char *name,
                                      size_t length)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0)
            return options;
    return NULL;
}

/* One option at argv[*i], which begins with a dash; moves *i to its value. All but -h begin with two. */
static enum parsed parse_one(int argc, char **argv, int *i, const struct option_spec *options,
                             const char *help, bool *given)
{
    const bool is_long = argv[*i][1] == '-';
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    if (strcmp(argv[*i], "--help") == 0 || strcmp(argv[*i], "-h") == 0) {
        fputs(help, stdout);
        return PARSED_HELP;
    }
    const struct option_spec *option = is_long ? find(options, name, length) : NULL;
    if (option == NULL) {
        fprintf(stderr, "csm: %s: no option %s; --help lists them\n", argv[0], argv[*i]);
        return PARSED_WRONG;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (option->kind == OPTION_FLAG && value != NULL) {
        fprintf(stderr, "csm: --%s: takes no value\n", option->name);
        return PARSED_WRONG;
    }
    if (option->kind != OPTION_FLAG && value == NULL) {
        if (*i + 1 == argc) {
            fprintf(stderr, "csm: --%s: a value is missing\n", option->name);
            return PARSED_WRONG;
        }
        value = argv[++*i];
    }
    char by[64];
    snprintf(by, sizeof by, "--%s", option->name);
    if (option->kind == OPTION_TENSORS && !names_tensors(by, value))
        return PARSED_WRONG;
    if (!store(option, value)) {
        fprintf(stderr, "csm: %s: '%s', expected %s\n", by, value, expected(option->kind));
        return PARSED_WRONG;
    }
    if (given[option - options] && drops(option->kind))
        fprintf(stderr, "csm: %s: given more than once, the last one counts\n", by);
    given[option - options] = true;
    return PARSED;
}

static bool names_file(const char *path)
{
    return path != NULL && strcmp(path, "-") != 0 && strcmp(path, "none") != 0;
}

bool names_tensors(const char *by, const char *path)
{
    if (!promises_a_file(path, ".safetensors"))
        return true;
    fprintf(stderr, "csm: %s: '%s', expected a name that ends in .safetensors, which is what is written\n",
            by, path);
    return false;
}

bool names_directory(const char *by, const char *path)
{
    if (!promises_a_file(path, NULL))
        return true;
    fprintf(stderr, "csm: %s: '%s', expected the name of a directory: a model is written as one\n", by,
            path);
    return false;
}

bool overwrites(const char *by, const char *out, const char *in)
{
    struct stat a, b;
    if (!names_file(out) || !names_file(in))
        return false;
    bool is_same = stat(out, &a) == 0 && stat(in, &b) == 0
                       ? a.st_dev == b.st_dev && a.st_ino == b.st_ino && S_ISREG(a.st_mode)
                       : strcmp(out, in) == 0;
    if (is_same)
        fprintf(stderr, "csm: %s: %s is used twice, expected a file of its own to write\n", by, out);
    return is_same;
}

/* Does an output of the table overwrite another file that the command line names? */
static bool loses_a_file(const struct option_spec *options, const char **operands,
                         size_t n_operands)
{
    for (const struct option_spec *out = options; out->name != NULL; out++) {
        if (!is_output(out->kind))
            continue;
        char by[64];
        snprintf(by, sizeof by, "--%s", out->name);
        const char *path = *(const char **)out->value;
        for (size_t i = 0; i < n_operands; i++)
            if (overwrites(by, path, operands[i]))
                return true;
        for (const struct option_spec *o = options; o->name != NULL; o++) {
            bool is_one = o->kind == OPTION_IN || (is_output(o->kind) && o < out);
            const struct option_list *list = o->kind == OPTION_INS ? o->value : NULL;
            if (is_one && overwrites(by, path, *(const char **)o->value))
                return true;
            for (size_t i = 0; list != NULL && i < list->n; i++)
                if (overwrites(by, path, list->items[i]))
                    return true;
        }
    }
    return false;
}

enum parsed parse_options(int argc, char **argv, const struct option_spec *options,
                          const char *help, const char **operands, size_t n_operands)
{
    bool given[MAX_OPTIONS] = {false};
    size_t n = 0;
    while (options[n].name != NULL)
        n++;
    assert(n <= MAX_OPTIONS);
    return parse_options_given(argc, argv, options, help, operands, n_operands, given);
}

enum parsed parse_options_given(int argc, char **argv, const struct option_spec *options,
                                const char *help, const char **operands, size_t n_operands,
                                bool *given)
{
    size_t n = 0;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            enum parsed parsed = parse_one(argc, argv, &i, options, help, given);
            if (parsed != PARSED)
                return parsed;
        } else if (n == n_operands) {
            fprintf(stderr, "csm: %s: '%s' is one argument too many; --help tells more\n", argv[0],
                    argv[i]);
            return PARSED_WRONG;
        } else {
            operands[n++] = argv[i];
        }
    }
    return loses_a_file(options, operands, n) ? PARSED_WRONG : PARSED;
}
