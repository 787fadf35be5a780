/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

struct csm_pattern {
    pcre2_code *code;
};

struct csm_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

#define WHITE_SPACE                                                                                \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"

/* The pattern with \s and \S written out; to be freed, NULL when out of memory.
 * (\S inside a class stays PCRE2's: no tokenizer has it.) */
static char *write_out_spaces(const char *text)
{
    char *out = malloc(strlen(text) * (sizeof WHITE_SPACE + 3) + 1);
    if (out == NULL)
        return NULL;
    char *to = out;
    bool is_class = false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\' && (c[1] == 's' || (c[1] == 'S' && !is_class))) {
            const char *open = is_class ? "" : c[1] == 's' ? "[" : "[^";
            to = stpcpy(stpcpy(stpcpy(to, open), WHITE_SPACE), is_class ? "" : "]");
            c++;
        } else if (*c == '\\' && c[1] != '\0') {
            *to++ = *c++;
            *to++ = *c;
        } else {
            is_class = *c == '[' ? true : *c == ']' ? false : is_class;
            *to++ = *c;
        }
    }
    *to = '\0';
    return out;
}

/* Whether what is behind "(?" are flags, others than i among them. */
static bool has_other_flags(const char *flags)
{
    const size_t n = strspn(flags, "imsxnaADSUJ-^");
    const bool are_flags = n > 0 && (flags[n] == ':' || flags[n] == ')');
    return are_flags && strspn(flags, "i-") < n;
}

/* Where a class, whose '[' `text` stands on, ends (the ']'), or NULL: something in it that the two
 * read apart. */
static const char *end_of_class(const char *text)
{
    const char *c = text + 1;
    c += *c == '^';
    c += *c == ']'; /* the first is a member */
    for (; *c != '\0' && *c != ']'; c++) {
        if (c[0] == '&' && c[1] == '&')
            return NULL;
        if (c[0] == '[' && c[1] != ':')
            return NULL;
        if (c[0] == '[') {
            const char *end = strstr(c, ":]");
            if (end == NULL)
                return NULL;
            c = end + 1;
        } else if (c[0] == '\\' && c[1] != '\0') {
            if (strchr("hHvVQER", c[1]) != NULL)
                return NULL;
            c++;
        }
    }
    return c;
}

/* Letters of several of which case folding makes one (ss, fi, st ...), or beyond ASCII. */
static bool folds_several(const char *text)
{
    static const char *const pairs[] = {"ss", "ff", "fi", "fl", "st"};
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80)
            return true;
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if ((c[0] | 0x20) == pairs[i][0] && (c[1] | 0x20) == pairs[i][1])
                return true;
    }
    return false;
}

/* The construct of a pattern that Oniguruma, which `tokenizers` uses, reads otherwise than PCRE2
 * does; NULL: none that is known. */
static const char *read_apart(const char *text)
{
    bool folds = false;
    for (const char *c = text; *c != '\0'; c++) {
        if (c[0] == '\\' && c[1] != '\0') {
            static const char *const escapes[] = {"\\h", "\\H", "\\v", "\\V", "\\Q", "\\E"};
            for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
                if (c[1] == escapes[i][1])
                    return escapes[i];
            c++;
        } else if (c[0] == '[') {
            c = end_of_class(c);
            if (c == NULL)
                return "a class within a class, && or \\h, \\v, \\R in one";
            if (*c == '\0')
                return NULL; /* PCRE2 refuses it */
        } else if (c[0] == '{' && c[1] == ',') {
            return "{,n}";
        } else if (c[0] == '(' && c[1] == '*') {
            return "(*";
        } else if (c[0] == '(' && c[1] == '?') {
            if (has_other_flags(c + 2))
                return "flags other than (?i)";
            folds = folds || c[2] == 'i';
        }
    }
    return folds && folds_several(text) ? "(?i) beside letters that fold together (ss, fi, st)" : NULL;
}

csm_status csm_pattern_check(const char *path, const char *text, csm_error *err)
{
    const char *apart = read_apart(text);
    return apart == NULL
               ? CSM_OK
               : csm_fail(err, CSM_BAD_FORMAT,
                          "%s: pattern %.200s: %s, which tokenizers reads otherwise than this program "
                          "does",
                          path, text, apart);
}

csm_status csm_pattern_new(const char *path, const char *text, bool is_literal,
                           struct csm_pattern **out, csm_error *err)
{
    struct csm_pattern *pattern = calloc(1, sizeof *pattern);
    char *expression = is_literal ? strdup(text) : write_out_spaces(text);
    csm_status status = CSM_OK;
    if (pattern == NULL || expression == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    } else {
        int code;
        PCRE2_SIZE offset;
        pattern->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                      is_literal ? PCRE2_UTF | PCRE2_LITERAL
                                                 : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
                                      &code, &offset, NULL);
        if (pattern->code == NULL) {
            PCRE2_UCHAR message[128];
            pcre2_get_error_message(code, message, sizeof message);
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: pattern %s: %s", path, text,
                              (const char *)message);
        } else {
            /* Where there is no JIT, the interpreter matches the same. */
            (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
        }
    }
    free(expression);
    if (status != CSM_OK)
        csm_pattern_free(pattern);
    else
        *out = pattern;
    return status;
}

void csm_pattern_free(struct csm_pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

struct csm_matcher *csm_matcher_new(void)
{
    enum { STACK_FIRST = 32 * 1024, STACK_MOST = 8 * 1024 * 1024 };
    struct csm_matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL)
        return NULL;
    matcher->data = pcre2_match_data_create(1, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    matcher->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
    if (matcher->data == NULL || matcher->context == NULL) {
        csm_matcher_free(matcher);
        return NULL;
    }
    if (matcher->stack != NULL) /* NULL: no JIT here */
        pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return matcher;
}

void csm_matcher_free(struct csm_matcher *matcher)
{
    if (matcher == NULL)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

bool csm_pattern_next(const struct csm_pattern *pattern, struct csm_matcher *matcher,
                      const char *text, size_t n, size_t from, size_t *begin, size_t *end)
{
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                            matcher->data, matcher->context);
    if (found == PCRE2_ERROR_NOMATCH) {
        *begin = *end = n;
        return true;
    }
    if (found < 0)
        return false;
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(matcher->data);
    *begin = bounds[0];
    *end = bounds[1];
    return true;
}
