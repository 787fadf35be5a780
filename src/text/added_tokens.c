/* SPDX-License-Identifier: Apache-2.0
 *
 * added_tokens.c - as `tokenizers` 0.23 finds them (added_vocabulary.rs): the
 * leftmost, and of those that begin there the longest; one that stands inside a
 * word though it must not is passed over, its characters with it. */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

/* Rust's \w: Alphabetic, marks, decimal digits, connectors, joiners. Alphabetic
 * is letters, letter numbers, some marks, and the circled letters. */
#define WORD                                                                                       \
    "[\\p{L}\\p{M}\\p{Nl}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}"                      \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}]"

static int compare_tokens(const void *a, const void *b)
{
    const struct csm_added_token *x = a, *y = b;
    const unsigned char first_x = (unsigned char)x->content[0];
    const unsigned char first_y = (unsigned char)y->content[0];
    if (first_x != first_y)
        return first_x < first_y ? -1 : 1;
    return (x->n < y->n) - (x->n > y->n);
}

static bool flag(const json_t *token, const char *key)
{
    return json_is_true(json_object_get(token, key));
}

csm_status csm_added_read(const char *path, const json_t *array, bool is_normalized,
                          const struct csm_bpe *bpe, struct csm_added_tokens *set, csm_error *err)
{
    memset(set, 0, sizeof *set);
    if (array != NULL && !json_is_null(array) && !json_is_array(array))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: added_tokens: expected an array", path);
    set->tokens = calloc(json_array_size(array) + 1, sizeof *set->tokens);
    if (set->tokens == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);

    bool needs_words = false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *token = json_array_get(array, i);
        const json_t *content = json_object_get(token, "content");
        const json_t *id = json_object_get(token, "id");
        if (!json_is_string(content) || !json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > 1 << 24)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: added_tokens, number %zu: expected an id from 0 to %d and a "
                            "content",
                            path, i, 1 << 24);
        if (json_string_length(content) == 0 || flag(token, "normalized") != is_normalized)
            continue;
        const size_t n = json_string_length(content);
        char *copy = strdup(json_string_value(content));
        unsigned char *bytes = malloc(n);
        if (copy == NULL || bytes == NULL) {
            free(copy);
            free(bytes);
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        }
        const int32_t known = csm_bpe_written_id(bpe, copy, n, bytes);
        free(bytes);
        set->tokens[set->n++] = (struct csm_added_token){.content = copy,
                                                         .n = n,
                                                         .id = known >= 0 ? known : (int32_t)json_integer_value(id),
                                                         .is_single_word = flag(token, "single_word"),
                                                         .strips_left = flag(token, "lstrip"),
                                                         .strips_right = flag(token, "rstrip")};
        needs_words = needs_words || flag(token, "single_word");
    }
    qsort(set->tokens, set->n, sizeof *set->tokens, compare_tokens);
    for (size_t i = 0; i < set->n; i++)
        set->first[(unsigned char)set->tokens[i].content[0] + 1]++;
    for (int b = 0; b < 256; b++)
        set->first[b + 1] += set->first[b];
    csm_status status = CSM_OK;
    if (needs_words) {
        status = csm_pattern_new(path, "\\G" WORD, false, &set->word_after, err);
        if (status == CSM_OK)
            status = csm_pattern_new(path, "\\G(?<=" WORD ")", false, &set->word_before, err);
    }
    return status;
}

void csm_added_free(struct csm_added_tokens *set)
{
    for (size_t i = 0; i < set->n; i++)
        free((char *)set->tokens[i].content);
    free(set->tokens);
    csm_pattern_free(set->word_after);
    csm_pattern_free(set->word_before);
    memset(set, 0, sizeof *set);
}

const struct csm_added_token *csm_added_find(const struct csm_added_tokens *set,
                                             const char *content)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->tokens[i].content, content) == 0)
            return &set->tokens[i];
    return NULL;
}

/* The longest token that begins at `at`, or NULL. */
static const struct csm_added_token *token_at(const struct csm_added_tokens *set, const char *text,
                                              size_t n, size_t at)
{
    const unsigned char byte = (unsigned char)text[at];
    for (size_t i = set->first[byte]; i < set->first[byte + 1]; i++) {
        const struct csm_added_token *t = &set->tokens[i];
        if (t->n <= n - at && memcmp(text + at, t->content, t->n) == 0)
            return t;
    }
    return NULL;
}

/* Whether a character of a word stands before `begin` or after `end`. */
static bool is_inside_word(const struct csm_added_tokens *set, struct csm_matcher *matcher,
                           const char *text, size_t n, size_t begin, size_t end, bool *is_good)
{
    size_t from = n, to;
    if (begin > 0)
        *is_good = csm_pattern_next(set->word_before, matcher, text, n, begin, &from, &to);
    if (*is_good && begin > 0 && from == begin && begin < n)
        return true;
    from = n;
    if (*is_good && end < n)
        *is_good = csm_pattern_next(set->word_after, matcher, text, n, end, &from, &to);
    return from != n;
}

const struct csm_added_token *csm_added_next(const struct csm_added_tokens *set,
                                             struct csm_matcher *matcher,
                                             struct csm_added_walk *walk, size_t *begin,
                                             size_t *end, bool *is_good)
{
    *is_good = true;
    while (set->n > 0 && walk->at < walk->n) {
        const struct csm_added_token *t = token_at(set, walk->text, walk->n, walk->at);
        if (t == NULL) {
            walk->at++;
            continue;
        }
        *begin = walk->at;
        *end = walk->at += t->n;
        if (t->is_single_word &&
            is_inside_word(set, matcher, walk->text, walk->n, *begin, *end, is_good))
            continue;
        if (!*is_good)
            return NULL;
        uint32_t c;
        while (t->strips_left && *begin > walk->done) {
            size_t back = *begin - 1;
            while (back > walk->done && (walk->text[back] & 0xc0) == 0x80)
                back--;
            (void)csm_utf8_next(walk->text + back, &c);
            if (!csm_utf8_is_space(c))
                break;
            *begin = back;
        }
        while (t->strips_right && *end < walk->n) {
            size_t length = csm_utf8_next(walk->text + *end, &c);
            if (!csm_utf8_is_space(c))
                break;
            *end += length;
        }
        return t;
    }
    return NULL;
}
