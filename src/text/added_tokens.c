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

/* All added tokens in the order of the file. */
struct list {
    struct csm_added_token *tokens;
    size_t n;
    json_t *places; /* content -> its place */
    int32_t last;   /* largest id; -1: none yet */
};

static csm_status refuse_memory(const char *path, csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
}

/* The id of a new token. */
static csm_status number(const char *path, const struct csm_bpe *bpe, const char *content, size_t n,
                         struct list *list, int32_t *id, csm_error *err)
{
    unsigned char *bytes = malloc(n);
    if (bytes == NULL)
        return refuse_memory(path, err);
    *id = csm_bpe_written_id(bpe, content, n, bytes);
    free(bytes);
    const int32_t size = (int32_t)csm_bpe_size(bpe);
    if (*id < 0)
        *id = list->last >= size ? list->last + 1 : size;
    list->last = *id > list->last ? *id : list->last;
    return CSM_OK;
}

/* One that is there already has its flags anew, but for the kind: a special one keeps it, of
 * others both kinds are looked for, the first of them first. */
static csm_status add(const char *path, const json_t *token, const struct csm_bpe *bpe,
                      struct list *list, csm_error *err)
{
    const json_t *content = json_object_get(token, "content");
    const size_t n = json_string_length(content);
    const char *text = json_string_value(content);
    if (n == 0)
        return CSM_OK;
    const json_t *place = json_object_get(list->places, text);
    struct csm_added_token new = {.n = n,
                                  .is_single_word = flag(token, "single_word"),
                                  .strips_left = flag(token, "lstrip"),
                                  .strips_right = flag(token, "rstrip"),
                                  .is_normalized = flag(token, "normalized"),
                                  .is_special = flag(token, "special")};
    if (place != NULL) {
        struct csm_added_token *old = &list->tokens[json_integer_value(place)];
        new.content = old->content;
        new.id = old->id;
        new.is_normalized = old->is_normalized && (old->is_special || new.is_normalized);
        *old = new;
        return CSM_OK;
    }
    csm_status status = number(path, bpe, text, n, list, &new.id, err);
    if (status != CSM_OK)
        return status;
    new.content = strdup(text);
    if (new.content == NULL)
        return refuse_memory(path, err);
    list->tokens[list->n] = new;
    const json_int_t at = (json_int_t)list->n++;
    return json_object_set_new(list->places, text, json_integer(at)) == 0 ? CSM_OK
                                                                          : refuse_memory(path, err);
}

/* Sort by first byte, and make what finds words. */
static csm_status prepare(const char *path, struct csm_added_tokens *set, csm_error *err)
{
    bool needs_words = false;
    qsort(set->tokens, set->n, sizeof *set->tokens, compare_tokens);
    for (size_t i = 0; i < set->n; i++) {
        set->first[(unsigned char)set->tokens[i].content[0] + 1]++;
        needs_words = needs_words || set->tokens[i].is_single_word;
    }
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

static csm_status add_all(const char *path, const json_t *array, const json_t *more,
                          const struct csm_bpe *bpe, struct list *list, csm_error *err)
{
    csm_status status = CSM_OK;
    for (size_t i = 0; i < json_array_size(array) && status == CSM_OK; i++) {
        const json_t *token = json_array_get(array, i);
        const json_t *id = json_object_get(token, "id");
        if (!json_is_string(json_object_get(token, "content")) || !json_is_integer(id) ||
            json_integer_value(id) < 0 || json_integer_value(id) > 1 << 24)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: added_tokens, number %zu: expected an id from 0 to %d and a "
                            "content",
                            path, i, 1 << 24);
        status = add(path, token, bpe, list, err);
    }
    for (size_t i = 0; i < json_array_size(more) && status == CSM_OK; i++)
        status = add(path, json_array_get(more, i), bpe, list, err);
    return status;
}

csm_status csm_added_read(const char *path, const json_t *array, const json_t *more,
                          bool has_special, const struct csm_bpe *bpe,
                          struct csm_added_tokens sets[2], csm_error *err)
{
    memset(sets, 0, 2 * sizeof *sets);
    if (array != NULL && !json_is_null(array) && !json_is_array(array))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: added_tokens: expected an array", path);
    const size_t room = json_array_size(array) + json_array_size(more) + 1;
    struct list list = {
        .tokens = calloc(room, sizeof *list.tokens), .places = json_object(), .last = -1};
    csm_status status = CSM_OK;
    for (int i = 0; i < 2; i++) {
        sets[i].tokens = calloc(room, sizeof *sets[i].tokens);
        sets[i].is_searched[0] = true;
        sets[i].is_searched[1] = has_special;
        if (sets[i].tokens == NULL)
            status = refuse_memory(path, err);
    }
    if (list.tokens == NULL || list.places == NULL)
        status = refuse_memory(path, err);
    if (status == CSM_OK)
        status = add_all(path, array, more, bpe, &list, err);
    for (size_t i = 0; list.tokens != NULL && i < list.n; i++) {
        struct csm_added_tokens *set = &sets[list.tokens[i].is_normalized];
        if (set->tokens != NULL)
            set->tokens[set->n++] = list.tokens[i];
        else
            free((char *)list.tokens[i].content);
    }
    free(list.tokens);
    json_decref(list.places);
    for (int i = 0; status == CSM_OK && i < 2; i++)
        status = prepare(path, &sets[i], err);
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
        if (set->is_searched[t->is_special] && t->n <= n - at &&
            memcmp(text + at, t->content, t->n) == 0)
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
