/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/gguf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/utf8.h"

enum { CONTROL = 3, USER_DEFINED = 4 }; /* token types */

struct piece {
    const char *text;
    size_t n;
};

struct tokens {
    const char *path;
    struct piece *list;
    bool *is_added;
    size_t n;
    struct piece *merges; /* "a b" */
    size_t n_merges;
};

static const struct {
    const char *name;
    bool ignores_merges;
    const char *json; /* of pre_tokenizer */
} pres[] = {
    {"llama-bpe", true,
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
     "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|"
     " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
     "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"
     "false,\"trim_offsets\":true,\"use_regex\":false}]}"},
    {"smollm", false,
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
     "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
     "]}"},
    {"gpt-2", false,
     "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"},
};
enum { LLAMA_BPE, SMOLLM, GPT2, N_PRES };

static csm_status read_texts(struct tokens *t, const csm_gguf *file, const char *key,
                             struct piece **out, size_t *n, csm_error *err)
{
    struct csm_gguf_array array;
    if (!csm_gguf_texts(file, key, &array))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected an array of strings", t->path, key);
    *out = calloc(array.left + 1, sizeof **out);
    if (*out == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->path);
    for (*n = 0; array.left > 0; ++*n) {
        struct piece *piece = &(*out)[*n];
        csm_gguf_next_text(&array, &piece->text, &piece->n);
        if (csm_utf8_valid(piece->text, piece->n) != piece->n)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: number %zu is not UTF-8", t->path, key,
                            *n);
    }
    return CSM_OK;
}

/* ---- which tokens are added ---------------------------------------------------- */

/* "a b" as "ab", in room of its length. */
static size_t joined(struct piece merge, char *to)
{
    const char *space = memchr(merge.text, ' ', merge.n);
    const size_t left = space != NULL ? (size_t)(space - merge.text) : merge.n;
    const size_t right = space != NULL ? merge.n - left - 1 : 0;
    memcpy(to, merge.text, left);
    memcpy(to + left, merge.text + merge.n - right, right);
    return left + right;
}

static bool is_bracketed(struct piece token)
{
    if (token.n < 3)
        return false;
    const char first = token.text[0], last = token.text[token.n - 1];
    return (first == '<' && last == '>') || (first == '[' && last == ']');
}

/* Mark tokens in brackets that no merge makes: merges go into a table, by what they make. */
static csm_status find_unmade(struct tokens *t, csm_error *err)
{
    size_t n_slots = 64, longest = 0;
    while (n_slots < 2 * t->n_merges)
        n_slots *= 2;
    for (size_t i = 0; i < t->n_merges; i++)
        longest = t->merges[i].n > longest ? t->merges[i].n : longest;
    size_t *slots = calloc(n_slots, sizeof *slots); /* index + 1 */
    char *made = malloc(longest + 1);
    csm_status st = CSM_OK;
    if (slots == NULL || made == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->path);
    for (size_t i = 0; st == CSM_OK && i < t->n_merges; i++) {
        size_t at = (size_t)csm_hash(made, joined(t->merges[i], made)) & (n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        slots[at] = i + 1;
    }
    for (size_t i = 0; st == CSM_OK && i < t->n; i++) {
        const struct piece token = t->list[i];
        if (!is_bracketed(token))
            continue;
        size_t at = (size_t)csm_hash(token.text, token.n) & (n_slots - 1);
        bool is_made = false;
        for (; slots[at] != 0 && !is_made; at = (at + 1) & (n_slots - 1))
            is_made = joined(t->merges[slots[at] - 1], made) == token.n &&
                      memcmp(made, token.text, token.n) == 0;
        t->is_added[i] = !is_made;
    }
    free(slots);
    free(made);
    return st;
}

static csm_status find_added(struct tokens *t, const csm_gguf *file, csm_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    struct csm_gguf_array types;
    t->is_added = calloc(t->n + 1, sizeof *t->is_added);
    if (t->is_added == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->path);
    if (!csm_gguf_has(file, key))
        return find_unmade(t, err);
    if (!csm_gguf_integers(file, key, &types) || types.left != t->n)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected an integer for each of %zu tokens",
                        t->path, key, t->n);
    for (size_t i = 0; i < t->n; i++) {
        const int64_t type = csm_gguf_next_integer(&types);
        t->is_added[i] = t->list[i].n > 0 && (type == CONTROL || type == USER_DEFINED);
    }
    return CSM_OK;
}

/* ---- the pre-tokenizer --------------------------------------------------------- */

static bool has_token(const struct tokens *t, const char *content)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->list[i].n == strlen(content) &&
            memcmp(t->list[i].text, content, t->list[i].n) == 0)
            return true;
    return false;
}

static csm_status choose_pre(const struct tokens *t, const csm_gguf *file, int *pre,
                             csm_error *err)
{
    static const char key[] = "tokenizer.ggml.pre";
    const char *text;
    size_t n;
    *pre = has_token(t, "<|im_start|>") && !has_token(t, "<|begin_of_text|>") ? SMOLLM : LLAMA_BPE;
    if (!csm_gguf_has(file, key))
        return CSM_OK;
    if (!csm_gguf_text(file, key, &text, &n))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected a string", t->path, key);
    for (*pre = 0; *pre < N_PRES; ++*pre)
        if (strlen(pres[*pre].name) == n && memcmp(pres[*pre].name, text, n) == 0)
            return CSM_OK;
    *pre = GPT2;
    if (n == strlen("default") && memcmp(text, "default", n) == 0)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: %s: %.*s, expected llama-bpe, smollm, gpt-2 or default", t->path, key, (int)(n < 40 ? csm_utf8_valid(text, n) : 0), text);
}

/* ---- as JSON ------------------------------------------------------------------- */

static void put_text(struct csm_builder *b, struct piece piece)
{
    csm_builder_add(b, "\"", 1);
    for (size_t i = 0, from = 0; i <= piece.n; i++) {
        const unsigned char c = i < piece.n ? (unsigned char)piece.text[i] : '"';
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        csm_builder_add(b, piece.text + from, i - from);
        from = i + 1;
        char escaped[8];
        if (i < piece.n)
            csm_builder_add(b, escaped,
                            (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)c));
    }
    csm_builder_add(b, "\"", 1);
}

static void put_number(struct csm_builder *b, size_t number)
{
    char text[24];
    csm_builder_add(b, text, (size_t)snprintf(text, sizeof text, "%zu", number));
}

static void put_added(struct csm_builder *b, const struct tokens *t)
{
    bool is_first = true;
    for (size_t i = 0; i < t->n; i++) {
        if (!t->is_added[i])
            continue;
        csm_builder_add_text(b, is_first ? "{\"id\":" : ",{\"id\":");
        is_first = false;
        put_number(b, i);
        csm_builder_add_text(b, ",\"content\":");
        put_text(b, t->list[i]);
        csm_builder_add_text(b, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                                "\"normalized\":false,\"special\":true}");
    }
}

/* Added tokens, too: so they have the ids that they have here. */
static void put_vocab(struct csm_builder *b, const struct tokens *t)
{
    bool is_first = true;
    for (size_t i = 0; i < t->n; i++) {
        if (t->list[i].n == 0)
            continue;
        if (!is_first)
            csm_builder_add(b, ",", 1);
        is_first = false;
        put_text(b, t->list[i]);
        csm_builder_add(b, ":", 1);
        put_number(b, i);
    }
}

static csm_status put_all(const struct tokens *t, int pre, char **text, size_t *n, csm_error *err)
{
    struct csm_builder b = {.text = NULL};
    csm_builder_add_text(&b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
                             "\"added_tokens\":[");
    put_added(&b, t);
    csm_builder_add_text(&b, "],\"normalizer\":null,\"pre_tokenizer\":");
    csm_builder_add_text(&b, pres[pre].json);
    csm_builder_add_text(&b, ",\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
                             "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
                             "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                             "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                             "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":");
    csm_builder_add_text(&b, pres[pre].ignores_merges ? "true" : "false");
    csm_builder_add_text(&b, ",\"vocab\":{");
    put_vocab(&b, t);
    csm_builder_add_text(&b, "},\"merges\":[");
    for (size_t i = 0; i < t->n_merges; i++) {
        if (i > 0)
            csm_builder_add(&b, ",", 1);
        put_text(&b, t->merges[i]);
    }
    csm_builder_add_text(&b, "]}}");
    *n = b.length;
    *text = csm_builder_take(&b);
    return *text != NULL ? CSM_OK
                         : csm_fail(err, CSM_NO_MEMORY, "%s: its tokenizer: out of memory", t->path);
}

csm_status csm_gguf_tokenizer(const csm_gguf *file, const char *path, char **text, size_t *n,
                              csm_error *err)
{
    *text = NULL;
    *n = 0;
    if (!csm_gguf_has(file, "tokenizer.ggml.tokens"))
        return CSM_OK;
    static const char model[] = "tokenizer.ggml.model", merges[] = "tokenizer.ggml.merges";
    const char *kind;
    size_t n_kind;
    if (csm_gguf_has(file, model) && (!csm_gguf_text(file, model, &kind, &n_kind) ||
                                      n_kind != strlen("gpt2") ||
                                      memcmp(kind, "gpt2", n_kind) != 0))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected gpt2, a byte-level BPE", path,
                        model);
    struct tokens t = {.path = path};
    int pre = LLAMA_BPE;
    csm_status st =
        read_texts(&t, file, "tokenizer.ggml.tokens", &t.list, &t.n, err);
    if (st == CSM_OK && csm_gguf_has(file, merges)) /* bytes alone have none */
        st = read_texts(&t, file, merges, &t.merges, &t.n_merges, err);
    if (st == CSM_OK)
        st = find_added(&t, file, err);
    if (st == CSM_OK)
        st = choose_pre(&t, file, &pre, err);
    if (st == CSM_OK)
        st = put_all(&t, pre, text, n, err);
    free(t.list);
    free(t.merges);
    free(t.is_added);
    return st;
}
