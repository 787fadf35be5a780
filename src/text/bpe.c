/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.c - vocabulary and merges as two hash tables, and the merging.
 *
 * The pair with the lowest rank, the leftmost of equals, is merged until none is
 * left, as `tokenizers` does it: candidates wait in a heap, and one that no
 * longer stands for two neighbours of that kind is skipped when it comes up. */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "text/byte_alphabet.h"
#include "text/json_scan.h"

enum { MAX_ID = 1 << 24 };

/* A token: its bytes in the arena. Free slots have id -1. */
struct token {
    size_t offset, n;
    int32_t id;
};

/* A merge of two neighbours: key first << 32 | second. Free slots have `into` -1. */
struct merge {
    uint64_t key;
    uint32_t rank;
    int32_t into;
};

struct csm_bpe {
    struct csm_alphabet alphabet;
    unsigned char *arena;
    struct token *tokens;
    size_t token_mask; /* slots - 1, a power of two */
    struct merge *merges;
    size_t merge_mask;
    int32_t byte_ids[256]; /* token of each single byte, or -1 */
    int32_t last;
    size_t n; /* tokens of the file */
    json_t *unspelled; /* those outside the alphabet of bytes, and their ids; NULL: none */
    bool ignore_merges;
};

/* Slots for n entries, at most half full. */
static size_t table_mask(size_t n)
{
    size_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    return slots - 1;
}

/* Where those bytes are, or the free slot where they would be. */
static struct token *token_slot(const struct csm_bpe *bpe, const void *bytes, size_t n)
{
    size_t i = csm_hash(bytes, n) & bpe->token_mask;
    for (;; i = (i + 1) & bpe->token_mask) {
        struct token *t = &bpe->tokens[i];
        if (t->id < 0 || (t->n == n && memcmp(bpe->arena + t->offset, bytes, n) == 0))
            return t;
    }
}

static struct merge *merge_slot(const struct csm_bpe *bpe, int32_t first, int32_t second)
{
    const uint64_t key = (uint64_t)(uint32_t)first << 32 | (uint32_t)second;
    size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & bpe->merge_mask;
    for (;; i = (i + 1) & bpe->merge_mask) {
        struct merge *m = &bpe->merges[i];
        if (m->into < 0 || m->key == key)
            return m;
    }
}

int32_t csm_bpe_id(const struct csm_bpe *bpe, const void *bytes, size_t n)
{
    return token_slot(bpe, bytes, n)->id;
}

int32_t csm_bpe_written_id(const struct csm_bpe *bpe, const char *token, size_t n,
                           unsigned char *bytes)
{
    const ptrdiff_t n_bytes = csm_alphabet_bytes(&bpe->alphabet, token, n, bytes);
    if (n_bytes > 0)
        return csm_bpe_id(bpe, bytes, (size_t)n_bytes);
    const json_t *id = json_object_get(bpe->unspelled, token);
    return id != NULL ? (int32_t)json_integer_value(id) : -1;
}

size_t csm_bpe_size(const struct csm_bpe *bpe)
{
    return bpe->n;
}

int32_t csm_bpe_last(const struct csm_bpe *bpe)
{
    return bpe->last;
}

/* How often a byte stands in a text. */
static size_t count_bytes(struct csm_json_text text, char byte)
{
    size_t n = 0;
    for (const char *c = text.begin; c < text.end; c++)
        n += *c == byte;
    return n;
}

/* A token that no piece of text spells, but an added token may be. */
static csm_status keep_unspelled(struct csm_bpe *bpe, const char *path, const char *token, size_t n,
                                 int32_t id, csm_error *err)
{
    char *copy = strndup(token, n);
    if (bpe->unspelled == NULL)
        bpe->unspelled = json_object();
    const bool is_kept = copy != NULL && bpe->unspelled != NULL &&
                         json_object_set_new(bpe->unspelled, copy, json_integer(id)) == 0;
    free(copy);
    return is_kept ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
}

/* One `"token": id`. */
static csm_status read_token(struct csm_bpe *bpe, const char *path, struct csm_json_scan *scan,
                             size_t *offset, csm_error *err)
{
    const char *token;
    size_t n;
    int32_t id;
    if (!csm_json_scan_string(scan, &token, &n))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.vocab: expected tokens and their ids",
                        path);
    ptrdiff_t n_bytes =
        csm_alphabet_bytes(&bpe->alphabet, token, n, bpe->arena + *offset);
    const int shown = n < 40 ? (int)n : 40;
    if (!csm_json_scan_mark(scan, ':') || !csm_json_scan_integer(scan, &id) || id > MAX_ID)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.vocab: id of %.*s: expected 0 to %d", path,
                        shown, token, MAX_ID);
    if (id > bpe->last)
        bpe->last = id;
    bpe->n++;
    if (n_bytes <= 0)
        return keep_unspelled(bpe, path, token, n, id, err);
    struct token *slot = token_slot(bpe, bpe->arena + *offset, (size_t)n_bytes);
    if (slot->id >= 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.vocab: %.*s: a token twice", path, shown,
                        token);
    *slot = (struct token){*offset, (size_t)n_bytes, id};
    *offset += (size_t)n_bytes;
    return CSM_OK;
}

static csm_status read_vocabulary(struct csm_bpe *bpe, const char *path,
                                  struct csm_json_text vocab, csm_error *err)
{
    struct csm_json_scan scan = {.at = vocab.begin, .end = vocab.end};
    if (vocab.begin == NULL || !csm_json_scan_mark(&scan, '{'))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.vocab: expected an object", path);
    bpe->token_mask = table_mask(count_bytes(vocab, ':'));
    bpe->tokens = malloc((bpe->token_mask + 1) * sizeof *bpe->tokens);
    bpe->arena = malloc((size_t)(vocab.end - vocab.begin));
    if (bpe->tokens == NULL || bpe->arena == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i <= bpe->token_mask; i++)
        bpe->tokens[i].id = -1;

    size_t offset = 0;
    bpe->last = -1;
    csm_status status = CSM_OK;
    if (!csm_json_scan_mark(&scan, '}')) {
        do
            status = read_token(bpe, path, &scan, &offset, err);
        while (status == CSM_OK && csm_json_scan_mark(&scan, ','));
        if (status == CSM_OK && !csm_json_scan_mark(&scan, '}'))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: model.vocab: expected , or }", path);
    }
    csm_json_scan_end(&scan);
    for (int b = 0; b < 256 && status == CSM_OK; b++) {
        const unsigned char byte = (unsigned char)b;
        bpe->byte_ids[b] = csm_bpe_id(bpe, &byte, 1);
    }
    return status;
}

/* Room for the bytes of one merge. */
struct buffer {
    unsigned char *bytes;
    size_t capacity;
};

/* Append the bytes that a half of a merge spells, after `n` of them; returns how
 * many there are then, or -1: an empty half, outside the alphabet, or out of memory. */
static ptrdiff_t append(const struct csm_bpe *bpe, struct buffer *buffer, ptrdiff_t n,
                        const char *half, size_t n_half)
{
    if (n_half == 0)
        return -1;
    if ((size_t)n + n_half > buffer->capacity) {
        unsigned char *grown = realloc(buffer->bytes, 2 * ((size_t)n + n_half));
        if (grown == NULL)
            return -1;
        buffer->bytes = grown;
        buffer->capacity = 2 * ((size_t)n + n_half);
    }
    ptrdiff_t added = csm_alphabet_bytes(&bpe->alphabet, half, n_half, buffer->bytes + n);
    return added > 0 ? n + added : -1;
}

/* One merge, ["a", "b"] if they are pairs, else "a b": its bytes, of which
 * `*n_first` are a's. */
static bool read_halves(const struct csm_bpe *bpe, struct csm_json_scan *scan, bool are_pairs,
                        struct buffer *buffer, ptrdiff_t *n_first, ptrdiff_t *n_both)
{
    const char *text;
    size_t n;
    if (are_pairs) {
        if (!csm_json_scan_mark(scan, '[') || !csm_json_scan_string(scan, &text, &n))
            return false;
        *n_first = append(bpe, buffer, 0, text, n);
        if (*n_first < 0 || !csm_json_scan_mark(scan, ',') ||
            !csm_json_scan_string(scan, &text, &n))
            return false;
        *n_both = append(bpe, buffer, *n_first, text, n);
        return *n_both >= 0 && csm_json_scan_mark(scan, ']');
    }
    if (!csm_json_scan_string(scan, &text, &n))
        return false;
    const char *space = memchr(text, ' ', n);
    if (space == NULL)
        return false;
    *n_first = append(bpe, buffer, 0, text, (size_t)(space - text));
    if (*n_first < 0)
        return false;
    /* A second space is outside the alphabet. */
    *n_both = append(bpe, buffer, *n_first, space + 1, (size_t)(text + n - space - 1));
    return *n_both >= 0;
}

/* Both halves and the whole must be tokens. */
static csm_status read_merge(struct csm_bpe *bpe, const char *path, uint32_t rank,
                             struct csm_json_scan *scan, bool are_pairs, struct buffer *buffer,
                             csm_error *err)
{
    ptrdiff_t a, n;
    if (!read_halves(bpe, scan, are_pairs, buffer, &a, &n))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.merges, number %u: expected %s", path, rank,
                        are_pairs ? "[\"a\", \"b\"] as the first" : "\"a b\", or [\"a\", \"b\"]");
    const int32_t first = csm_bpe_id(bpe, buffer->bytes, (size_t)a);
    const int32_t second = csm_bpe_id(bpe, buffer->bytes + a, (size_t)(n - a));
    const int32_t into = csm_bpe_id(bpe, buffer->bytes, (size_t)n);
    if (first < 0 || second < 0 || into < 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: model.merges, number %u: expected two tokens of model.vocab that "
                        "make a third",
                        path, rank);
    *merge_slot(bpe, first, second) =
        (struct merge){(uint64_t)(uint32_t)first << 32 | (uint32_t)second, rank, into};
    return CSM_OK;
}

static csm_status read_merges(struct csm_bpe *bpe, const char *path, struct csm_json_text merges,
                              csm_error *err)
{
    struct csm_json_scan scan = {.at = merges.begin, .end = merges.end};
    if (merges.begin == NULL || !csm_json_scan_mark(&scan, '['))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.merges: expected an array", path);
    struct csm_json_scan ahead = scan;
    const bool are_pairs = csm_json_scan_mark(&ahead, '[');
    const size_t n_commas = count_bytes(merges, ','); /* a pair has one inside */
    bpe->merge_mask = table_mask(are_pairs ? n_commas / 2 + 1 : n_commas + 1);
    bpe->merges = malloc((bpe->merge_mask + 1) * sizeof *bpe->merges);
    if (bpe->merges == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i <= bpe->merge_mask; i++)
        bpe->merges[i].into = -1;

    struct buffer buffer = {0};
    csm_status status = CSM_OK;
    if (!csm_json_scan_mark(&scan, ']')) {
        uint32_t rank = 0;
        do
            status = read_merge(bpe, path, rank++, &scan, are_pairs, &buffer, err);
        while (status == CSM_OK && csm_json_scan_mark(&scan, ','));
        if (status == CSM_OK && !csm_json_scan_mark(&scan, ']'))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: model.merges: expected , or ]", path);
    }
    csm_json_scan_end(&scan);
    free(buffer.bytes);
    return status;
}

/* What other BPE models have and this one must not. */
static csm_status check_plain(const struct csm_bpe *bpe, const char *path, const json_t *model,
                              csm_error *err)
{
    const char *type = json_string_value(json_object_get(model, "type"));
    if (type != NULL && strcmp(type, "BPE") != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.type: %s, expected BPE", path, type);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const char *affix = json_string_value(json_object_get(model, affixes[i]));
        if (affix != NULL && *affix != '\0')
            return csm_fail(err, CSM_BAD_FORMAT, "%s: model.%s: expected none", path, affixes[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: model.dropout: expected none", path);
    for (int b = 0; b < 256; b++)
        if (bpe->byte_ids[b] < 0 && (json_is_string(json_object_get(model, "unk_token")) ||
                                     json_is_true(json_object_get(model, "byte_fallback"))))
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: model.vocab: byte %d has no token, expected all 256", path, b);
    return CSM_OK;
}

csm_status csm_bpe_new(const char *path, const json_t *model, struct csm_json_text vocab,
                       struct csm_json_text merges, struct csm_bpe **out, csm_error *err)
{
    struct csm_bpe *bpe = calloc(1, sizeof *bpe);
    if (bpe == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_alphabet_fill(&bpe->alphabet);
    bpe->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    csm_status status = CSM_OK;
    if (!json_is_object(model))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: model: expected an object", path);
    if (status == CSM_OK)
        status = read_vocabulary(bpe, path, vocab, err);
    if (status == CSM_OK)
        status = check_plain(bpe, path, model, err);
    if (status == CSM_OK)
        status = read_merges(bpe, path, merges, err);
    if (status != CSM_OK)
        csm_bpe_free(bpe);
    else
        *out = bpe;
    return status;
}

void csm_bpe_free(struct csm_bpe *bpe)
{
    if (bpe == NULL)
        return;
    free(bpe->merges);
    free(bpe->tokens);
    free(bpe->arena);
    json_decref(bpe->unspelled);
    free(bpe);
}

/* ---- merging -------------------------------------------------------------- */

/* A symbol of the piece, in a list; id -1: merged into the one before it. */
struct symbol {
    int32_t id;
    int32_t before, after; /* -1: none */
};

/* The pair that begins at a symbol may be merged into a token. */
struct candidate {
    uint32_t rank;
    int32_t at;
    int32_t into;
};

static bool is_earlier(struct candidate a, struct candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

/* A binary heap, the earliest candidate first. */
struct heap {
    struct candidate *items;
    size_t n;
};

static void heap_push(struct heap *heap, struct candidate item)
{
    size_t i = heap->n++;
    for (; i > 0 && is_earlier(item, heap->items[(i - 1) / 2]); i = (i - 1) / 2)
        heap->items[i] = heap->items[(i - 1) / 2];
    heap->items[i] = item;
}

static struct candidate heap_pop(struct heap *heap)
{
    const struct candidate top = heap->items[0], last = heap->items[--heap->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && is_earlier(heap->items[child + 1], heap->items[child]))
            child++;
        if (!is_earlier(heap->items[child], last))
            break;
        heap->items[i] = heap->items[child];
        i = child;
    }
    if (heap->n > 0)
        heap->items[i] = last;
    return top;
}

/* Offer the pair of `at` and what follows it, if it has a merge. */
static void offer(const struct csm_bpe *bpe, struct heap *heap, const struct symbol *symbols,
                  int32_t at)
{
    if (at < 0 || symbols[at].after < 0)
        return;
    const struct merge *m = merge_slot(bpe, symbols[at].id, symbols[symbols[at].after].id);
    if (m->into >= 0)
        heap_push(heap, (struct candidate){m->rank, at, m->into});
}

static void merge_all(const struct csm_bpe *bpe, struct symbol *symbols, int32_t n,
                      struct heap *heap)
{
    for (int32_t i = 0; i < n; i++)
        offer(bpe, heap, symbols, i);
    while (heap->n > 0) {
        const struct candidate c = heap_pop(heap);
        struct symbol *left = &symbols[c.at];
        if (left->id < 0 || left->after < 0)
            continue;
        struct symbol *right = &symbols[left->after];
        const struct merge *m = merge_slot(bpe, left->id, right->id);
        if (m->into != c.into)
            continue; /* the neighbours have changed since */
        left->id = c.into;
        right->id = -1;
        left->after = right->after;
        if (right->after >= 0)
            symbols[right->after].before = c.at;
        offer(bpe, heap, symbols, left->before);
        offer(bpe, heap, symbols, c.at);
    }
}

bool csm_bpe_piece(const struct csm_bpe *bpe, const unsigned char *bytes, size_t n,
                   struct csm_ids *ids)
{
    if (n == 0)
        return true;
    if (bpe->ignore_merges) {
        const int32_t whole = csm_bpe_id(bpe, bytes, n);
        if (whole >= 0)
            return csm_ids_push(ids, whole);
    }
    if (n > INT32_MAX / 4)
        return false;
    /* Each merge removes a symbol and offers two pairs: at most 3 n candidates. */
    enum { ON_STACK = 64 };
    struct symbol few_symbols[ON_STACK];
    struct candidate few_candidates[3 * ON_STACK];
    struct symbol *symbols = few_symbols;
    struct heap heap = {few_candidates, 0};
    if (n > ON_STACK) {
        symbols = malloc(n * sizeof *symbols);
        heap.items = malloc(3 * n * sizeof *heap.items);
    }
    bool is_good = symbols != NULL && heap.items != NULL;
    if (is_good) {
        int32_t n_symbols = 0;
        for (size_t i = 0; i < n; i++)
            if (bpe->byte_ids[bytes[i]] >= 0) { /* `tokenizers` drops what has no token */
                symbols[n_symbols] = (struct symbol){bpe->byte_ids[bytes[i]], n_symbols - 1,
                                                     n_symbols + 1};
                n_symbols++;
            }
        if (n_symbols > 0) {
            symbols[n_symbols - 1].after = -1;
            merge_all(bpe, symbols, n_symbols, &heap);
            for (int32_t i = 0; is_good && i >= 0; i = symbols[i].after)
                is_good = csm_ids_push(ids, symbols[i].id);
        }
    }
    if (n > ON_STACK) {
        free(symbols);
        free(heap.items);
    }
    return is_good;
}
