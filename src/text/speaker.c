/* SPDX-License-Identifier: Apache-2.0
 *
 * speaker.c - one pass: at each place the rules that may begin there are tried in order.
 * What no rule takes is copied. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/speaker.h"

#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/say.h"

static const struct csm_say_rule *const kinds[] = {
    csm_say_addresses, csm_say_dates,   csm_say_codes, csm_say_times,  csm_say_money,
    csm_say_formulas,  csm_say_numbers, csm_say_words, csm_say_symbols};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* A rule, made ready. */
struct ready {
    const struct csm_say_rule *rule;
    pcre2_code *code; /* NULL: it scans */
};

struct csm_text_rules {
    struct ready *items;
    size_t n;
    struct csm_markup *markup;
};

struct csm_speaker {
    const csm_text_rules *rules;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

/* ---- rules -------------------------------------------------------------------- */

static bool is_rule(const struct csm_say_rule *rule)
{
    return rule->pattern != NULL || rule->scan != NULL;
}

static size_t count_rules(void)
{
    size_t n = 0;
    for (size_t k = 0; k < N_KINDS; k++)
        for (const struct csm_say_rule *r = kinds[k]; is_rule(r); r++)
            n++;
    return n;
}

/* False: out of memory. */
static bool make_ready(csm_text_rules *rules, const struct csm_say_rule *rule)
{
    int code = 0;
    PCRE2_SIZE offset;
    struct ready *ready = &rules->items[rules->n++];
    ready->rule = rule;
    if (rule->pattern == NULL)
        return true;
    ready->code = pcre2_compile((PCRE2_SPTR)rule->pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_ANCHORED, &code, &offset, NULL);
    return ready->code != NULL;
}

csm_status csm_text_rules_open(csm_text_rules **out, csm_error *err)
{
    csm_text_rules *rules = calloc(1, sizeof *rules);
    if (rules != NULL)
        rules->items = calloc(count_rules(), sizeof *rules->items);
    bool is_whole = rules != NULL && rules->items != NULL;
    for (size_t k = 0; is_whole && k < N_KINDS; k++)
        for (const struct csm_say_rule *r = kinds[k]; is_whole && is_rule(r); r++)
            is_whole = make_ready(rules, r);
    const csm_status status = is_whole ? csm_markup_open(&rules->markup, err)
                                       : csm_fail(err, CSM_NO_MEMORY, "text: patterns: out of memory");
    if (status == CSM_OK)
        *out = rules;
    else
        csm_text_rules_close(rules);
    return status;
}

void csm_text_rules_close(csm_text_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->n; i++)
        pcre2_code_free(rules->items[i].code);
    csm_markup_close(rules->markup);
    free(rules->items);
    free(rules);
}

const struct csm_markup *csm_rules_markup(const csm_text_rules *rules)
{
    return rules->markup;
}

/* ---- one caller's ------------------------------------------------------------- */

csm_status csm_speaker_new(const csm_text_rules *rules, struct csm_speaker **out, csm_error *err)
{
    struct csm_speaker *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->rules = rules;
        s->match = pcre2_match_data_create(16, NULL);
        s->limits = pcre2_match_context_create(NULL);
    }
    if (s == NULL || s->match == NULL || s->limits == NULL) {
        csm_speaker_free(s);
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    }
    pcre2_set_match_limit(s->limits, 100000);
    *out = s;
    return CSM_OK;
}

void csm_speaker_free(struct csm_speaker *s)
{
    if (s == NULL)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    free(s);
}

/* What may begin at text[at]. */
static unsigned begins(const char *text, size_t at)
{
    const char c = text[at];
    if (csm_is_digit(c))
        return AT_DIGIT;
    const bool starts_word = !csm_follows_letter(text, at) || (unsigned char)c >= 0x80;
    if ((unsigned char)c >= 0x80)
        return AT_SIGN | (starts_word ? AT_WORD : 0);
    return !csm_is_letter(c) ? AT_SIGN : starts_word ? AT_WORD : 0;
}

/* Bytes taken by rule i at `at`; 0: it does not apply. */
static size_t apply(struct csm_speaker *s, size_t i, const char *text, size_t n, size_t at,
                    struct csm_builder *out)
{
    const struct csm_say_rule *rule = s->rules->items[i].rule;
    if (rule->pattern == NULL)
        return rule->scan(out, text, at);
    const int found = pcre2_match(s->rules->items[i].code, (PCRE2_SPTR)text, n, at,
                                  PCRE2_NO_UTF_CHECK, s->match, s->limits);
    if (found <= 0)
        return 0;
    size_t *bounds = pcre2_get_ovector_pointer(s->match);
    size_t n_more = 0;
    const struct csm_found what = {text, bounds, &n_more};
    const size_t length = out->length;
    if (bounds[1] <= at || !rule->say(out, &what)) {
        if (!out->has_failed && out->length > length) /* what it had begun */
            out->text[out->length = length] = '\0';
        return 0;
    }
    return bounds[1] + n_more - at;
}

/* Whether what is written so far ends in a quote that opens, after which no space comes. */
static bool ends_in_opening(const struct csm_builder *out)
{
    if (out->has_failed || out->length == 0)
        return false;
    const char c = out->text[out->length - 1];
    return (c == '"' || c == '\'') && (out->length == 1 || out->text[out->length - 2] == ' ');
}

/* No space after what opens; one between words that were spoken and what stands next. */
static void mend(struct csm_builder *out, size_t before, bool was_opening, const char *next)
{
    if (out->has_failed || out->length <= before)
        return;
    if (was_opening && out->text[before] == ' ') {
        memmove(out->text + before, out->text + before + 1, out->length - before);
        out->length--;
    }
    if (out->length > before && csm_is_letter(out->text[out->length - 1]) &&
        (csm_is_letter(*next) || csm_is_digit(*next)))
        csm_builder_add_text(out, " ");
}

void csm_speaker_say(struct csm_speaker *s, const char *text, struct csm_builder *out)
{
    const size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        const unsigned here = begins(text, at);
        const size_t before = out->length;
        const bool was_opening = ends_in_opening(out);
        size_t taken = 0;
        for (size_t i = 0; taken == 0 && i < s->rules->n; i++)
            if ((s->rules->items[i].rule->begins & here) != 0)
                taken = apply(s, i, text, n, at, out);
        if (taken > 0) {
            mend(out, before, was_opening, text + at + taken);
        } else {
            uint32_t c;
            taken = csm_utf8_next(text + at, &c);
            const bool is_mark = strchr(".,;:!?", text[at]) != NULL &&
                                 (text[at + 1] == '\0' || strchr(" \n", text[at + 1]) != NULL);
            if (is_mark && !out->has_failed && out->length > 0 && out->text[out->length - 1] == ' ')
                out->length--; /* no space before it */
            const char last =
                !out->has_failed && out->length > 0 ? out->text[out->length - 1] : '\0';
            const bool is_double = (text[at] == ',' && last == ',') ||
                                   (is_mark && text[at] == '.' && (last == '!' || last == '?'));
            if (!is_double)
                csm_builder_add(out, text + at, taken);
        }
        at += taken;
    }
    while (!out->has_failed && out->length > 0 && out->text[out->length - 1] == ' ')
        out->text[--out->length] = '\0';
}
