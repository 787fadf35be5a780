/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.c - a tokenizer.json and its pipeline:
 *
 *   text -> added tokens cut out -> pieces by the pre-tokenizer's steps -> BPE of
 *   each piece's bytes -> the template's ids around all */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/json_file.h"
#include "files/mapped.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/json_scan.h"
#include "text/pattern.h"
#include "text/tokenizer_beside.h"
#include "base/utf8.h"

enum { MAX_STEPS = 8, MAX_AROUND = 16 };

/* One step of the pre-tokenizer: a leading space, then a split; either may be
 * missing. */
struct step {
    struct csm_pattern *pattern; /* NULL: no split */
    bool adds_space;
};

struct csm_tokenizer {
    struct csm_added_tokens added[2]; /* `normalized` false, then true */
    struct csm_bpe *bpe;
    struct step steps[MAX_STEPS];
    size_t n_steps;
    bool is_byte_level; /* the last step: nothing may follow */
    int32_t before[MAX_AROUND], after[MAX_AROUND];
    size_t n_before, n_after;
    size_t size;
};

/* ByteLevel's own pattern, GPT-2's. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* The two values of a tokenizer.json that are too large for a tree. */
struct large_values {
    struct csm_json_text vocab, merges;
};

/* ---- reading the file ------------------------------------------------------- */

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type != NULL ? type : "of no type";
}

/* The parts of a Sequence under `key`, and those of Sequences in it; else the object itself. */
static csm_status for_parts(csm_tokenizer *t, const char *path, const json_t *object,
                            const char *key,
                            csm_status (*read)(csm_tokenizer *, const char *, const json_t *,
                                               csm_error *),
                            csm_error *err)
{
    if (object == NULL || json_is_null(object))
        return CSM_OK;
    if (strcmp(type_of(object), "Sequence") != 0)
        return read(t, path, object, err);
    const json_t *parts = json_object_get(object, key);
    csm_status status = CSM_OK;
    for (size_t i = 0; status == CSM_OK && i < json_array_size(parts); i++)
        status = for_parts(t, path, json_array_get(parts, i), key, read, err);
    return status;
}

static csm_status read_split(csm_tokenizer *t, const char *path, const json_t *step, csm_error *err)
{
    const char *behavior = json_string_value(json_object_get(step, "behavior"));
    if (behavior == NULL || strcmp(behavior, "Isolated") != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: pre_tokenizer: Split %s, expected Isolated", path,
                        behavior != NULL ? behavior : "without behavior");
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    if (regex == NULL && literal == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: pre_tokenizer: Split: expected a pattern, Regex or String", path);
    csm_status status = regex != NULL ? csm_pattern_check(path, regex, err) : CSM_OK;
    return status != CSM_OK ? status
                            : csm_pattern_new(path, regex != NULL ? regex : literal, regex == NULL,
                                              &t->steps[t->n_steps++].pattern, err);
}

static csm_status read_pre_tokenizer(csm_tokenizer *t, const char *path, const json_t *step,
                                     csm_error *err)
{
    const char *type = type_of(step);
    if (t->is_byte_level || t->n_steps == MAX_STEPS)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: pre_tokenizer: %s, expected ByteLevel as the last of at most %d steps",
                        path, type, MAX_STEPS);
    if (strcmp(type, "Split") == 0)
        return read_split(t, path, step, err);
    if (strcmp(type, "Digits") == 0) /* each numeric character by itself, or runs of them */
        return csm_pattern_new(path,
                               json_is_true(json_object_get(step, "individual_digits"))
                                   ? "\\p{N}"
                                   : "\\p{N}+",
                               false, &t->steps[t->n_steps++].pattern, err);
    if (strcmp(type, "ByteLevel") != 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: pre_tokenizer: %s, expected Split, Digits or ByteLevel", path, type);
    struct step *own = &t->steps[t->n_steps++];
    t->is_byte_level = true;
    own->adds_space = json_is_true(json_object_get(step, "add_prefix_space"));
    /* Absent in old files, and true then. */
    if (json_is_false(json_object_get(step, "use_regex")))
        return CSM_OK;
    return csm_pattern_new(path, gpt2_pattern, false, &own->pattern, err);
}

/* The ids of a template's special token, appended to `ids`. */
static csm_status read_special(const char *path, const json_t *template, const json_t *special,
                               int32_t ids[MAX_AROUND], size_t *n, csm_error *err)
{
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *known = json_object_get(template, "special_tokens");
    const json_t *list = json_object_get(name != NULL ? json_object_get(known, name) : NULL, "ids");
    if (!json_is_array(list) || *n + json_array_size(list) > MAX_AROUND)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: post_processor: special token %s: expected its ids, at most %d", path,
                        name != NULL ? name : "without id", MAX_AROUND);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > 1 << 24)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: post_processor: special token %s: expected ids from 0 to %d", path,
                            name, 1 << 24);
        ids[(*n)++] = (int32_t)json_integer_value(id);
    }
    return CSM_OK;
}

static csm_status read_post_processor(csm_tokenizer *t, const char *path, const json_t *processor,
                                      csm_error *err)
{
    const char *type = type_of(processor);
    if (strcmp(type, "ByteLevel") == 0)
        return CSM_OK; /* moves offsets, no ids */
    const bool is_first = t->n_before == 0 && t->n_after == 0;
    if (strcmp(type, "TemplateProcessing") != 0 || !is_first)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: post_processor: %s, expected one TemplateProcessing, ByteLevel", path,
                        type);
    const json_t *single = json_object_get(processor, "single");
    size_t n_texts = 0;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        if (special != NULL) {
            csm_status status = n_texts == 0
                                    ? read_special(path, processor, special, t->before,
                                                   &t->n_before, err)
                                    : read_special(path, processor, special, t->after, &t->n_after,
                                                   err);
            if (status != CSM_OK)
                return status;
        } else if (json_object_get(piece, "Sequence") != NULL) {
            n_texts++;
        }
    }
    if (n_texts != 1)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: post_processor: the text %zu times in `single`, expected once", path,
                        n_texts);
    return CSM_OK;
}

static bool is_nothing(const json_t *normalizer)
{
    const json_t *parts = json_object_get(normalizer, "normalizers");
    return normalizer == NULL || json_is_null(normalizer) ||
           (json_is_array(parts) && json_array_size(parts) == 0);
}

/* The file's added tokens, and those that the files beside it name. */
static csm_status read_added(csm_tokenizer *t, const char *path, const json_t *root,
                             const struct csm_tokenizer_beside *beside, csm_error *err)
{
    const json_t *own = json_object_get(root, "added_tokens");
    json_t *more = NULL;
    csm_status status = CSM_OK;
    if (beside != NULL)
        status = csm_beside_tokens(beside, own, json_object_get(root, "padding"), &more, err);
    if (status == CSM_OK)
        status = csm_added_read(path, own, more, beside == NULL || !csm_beside_splits(beside), t->bpe,
                                t->added, err);
    json_decref(more);
    return status;
}

static csm_status read_all(csm_tokenizer *t, const char *path, const json_t *root,
                           const struct large_values *large,
                           const struct csm_tokenizer_beside *beside, csm_error *err)
{
    const json_t *normalizer = json_object_get(root, "normalizer");
    if (!is_nothing(normalizer))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: normalizer: %s, expected none", path,
                        type_of(normalizer));
    csm_status status = csm_bpe_new(path, json_object_get(root, "model"), large->vocab,
                                    large->merges, &t->bpe, err);
    if (status == CSM_OK)
        status = read_added(t, path, root, beside, err);
    if (status == CSM_OK)
        status = for_parts(t, path, json_object_get(root, "pre_tokenizer"), "pretokenizers",
                           read_pre_tokenizer, err);
    if (status == CSM_OK && !t->is_byte_level)
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: pre_tokenizer: no ByteLevel, expected a byte-level BPE", path);
    if (status == CSM_OK)
        status = for_parts(t, path, json_object_get(root, "post_processor"), "processors",
                           read_post_processor, err);
    if (status != CSM_OK)
        return status;

    int32_t last = csm_bpe_last(t->bpe);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < t->added[i].n; k++)
            if (t->added[i].tokens[k].id > last)
                last = t->added[i].tokens[k].id;
    for (size_t i = 0; i < t->n_before; i++)
        last = t->before[i] > last ? t->before[i] : last;
    for (size_t i = 0; i < t->n_after; i++)
        last = t->after[i] > last ? t->after[i] : last;
    t->size = (size_t)(last + 1);
    return CSM_OK;
}

/* Take the members of an object: `member` reads the value of a key, or skips it. */
static bool scan_object(struct csm_json_scan *scan, struct large_values *large,
                        bool (*member)(struct csm_json_scan *, struct large_values *,
                                       const char *key, size_t n))
{
    if (!csm_json_scan_mark(scan, '{'))
        return false;
    if (csm_json_scan_mark(scan, '}'))
        return true;
    do {
        const char *key;
        size_t n;
        if (!csm_json_scan_string(scan, &key, &n) || !csm_json_scan_mark(scan, ':') ||
            !member(scan, large, key, n))
            return false;
    } while (csm_json_scan_mark(scan, ','));
    return csm_json_scan_mark(scan, '}');
}

static bool is_key(const char *key, size_t n, const char *name)
{
    return n == strlen(name) && memcmp(key, name, n) == 0;
}

static bool scan_model_member(struct csm_json_scan *scan, struct large_values *large,
                              const char *key, size_t n)
{
    struct csm_json_text *value = is_key(key, n, "vocab")    ? &large->vocab
                                  : is_key(key, n, "merges") ? &large->merges
                                                             : NULL;
    const char *begin = scan->at;
    if ((value != NULL && value->begin != NULL) || !csm_json_scan_skip(scan))
        return false;
    if (value != NULL)
        *value = (struct csm_json_text){begin, scan->at};
    return true;
}

static bool scan_member(struct csm_json_scan *scan, struct large_values *large, const char *key,
                        size_t n)
{
    const struct csm_json_scan before = *scan;
    if (is_key(key, n, "model") && csm_json_scan_mark(scan, '{')) {
        scan->at = before.at;
        return scan_object(scan, large, scan_model_member);
    }
    return csm_json_scan_skip(scan);
}

/* The file with its two large values left out; to be freed, `*n` its length. */
static char *leave_out(const char *bytes, size_t n_bytes, const struct large_values *large,
                       size_t *n)
{
    struct csm_json_text cuts[2] = {large->vocab, large->merges};
    if (cuts[1].begin < cuts[0].begin) {
        cuts[0] = large->merges;
        cuts[1] = large->vocab;
    }
    char *rest = malloc(n_bytes + 16);
    if (rest == NULL)
        return NULL;
    char *to = rest;
    const char *from = bytes;
    for (size_t i = 0; i < 2; i++) {
        if (cuts[i].begin == NULL)
            continue;
        memcpy(to, from, (size_t)(cuts[i].begin - from));
        to += cuts[i].begin - from;
        memcpy(to, "null", 4);
        to += 4;
        from = cuts[i].end;
    }
    memcpy(to, from, (size_t)(bytes + n_bytes - from));
    to += bytes + n_bytes - from;
    *n = (size_t)(to - rest);
    return rest;
}

/* The tree of the file but for its two large values. A file that is not JSON goes
 * to jansson whole, whose message tells where. */
static csm_status parse(const char *path, const char *bytes, size_t n, struct large_values *large,
                        json_t **root, csm_error *err)
{
    struct csm_json_scan scan = {.at = bytes, .end = bytes + n};
    const bool is_scanned = csm_utf8_valid(bytes, n) == n && scan_object(&scan, large, scan_member);
    csm_json_scan_end(&scan);
    if (!is_scanned)
        *large = (struct large_values){0};
    size_t n_rest;
    char *rest = leave_out(bytes, n, large, &n_rest);
    if (rest == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_status status = csm_json_parse(path, rest, n_rest, root, err);
    free(rest);
    if (status == CSM_OK && !is_scanned) {
        json_decref(*root);
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: nested deeper than 100 levels", path);
    }
    return status;
}

csm_status csm_tokenizer_read(const char *path, const char *bytes, size_t n_bytes,
                              const struct csm_tokenizer_beside *beside, csm_tokenizer **out,
                              csm_error *err)
{
    struct large_values large = {0};
    json_t *root = NULL;
    csm_status status = parse(path, bytes != NULL ? bytes : "", n_bytes, &large, &root, err);
    if (status != CSM_OK)
        return status;
    csm_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    else
        status = read_all(t, path, root, &large, beside, err);
    json_decref(root);
    if (status != CSM_OK)
        csm_tokenizer_close(t);
    else
        *out = t;
    return status;
}

csm_status csm_tokenizer_open(const char *path, csm_tokenizer **out, csm_error *err)
{
    struct csm_mapped file;
    csm_status status = csm_mapped_open(path, "a tokenizer.json", &file, err);
    if (status == CSM_OK)
        status = csm_tokenizer_read(path, (const char *)file.data, file.size, NULL, out, err);
    csm_mapped_close(&file);
    return status;
}

void csm_tokenizer_close(csm_tokenizer *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < 2; i++)
        csm_added_free(&t->added[i]);
    for (size_t i = 0; i < t->n_steps; i++)
        csm_pattern_free(t->steps[i].pattern);
    csm_bpe_free(t->bpe);
    free(t);
}

size_t csm_tokenizer_size(const csm_tokenizer *t)
{
    return t->size;
}

int32_t csm_tokenizer_id(const csm_tokenizer *t, const char *content)
{
    for (size_t i = 0; i < 2; i++) {
        const struct csm_added_token *token = csm_added_find(&t->added[i], content);
        if (token != NULL)
            return token->id;
    }
    return csm_bpe_id(t->bpe, content, strlen(content));
}

/* ---- encoding --------------------------------------------------------------- */

struct encoding {
    const csm_tokenizer *tokenizer;
    struct csm_matcher *matcher;
    struct csm_ids ids;
};

static bool encode_piece(struct encoding *e, const char *text, size_t n, size_t step);

/* All of the text, cut at the matches of a step's pattern; both the matches and
 * what is between them are pieces. */
static bool split(struct encoding *e, const char *text, size_t n, size_t step)
{
    const struct csm_pattern *pattern = e->tokenizer->steps[step].pattern;
    if (pattern == NULL)
        return encode_piece(e, text, n, step + 1);
    size_t done = 0, from = 0;
    while (from < n) {
        size_t begin, end;
        if (!csm_pattern_next(pattern, e->matcher, text, n, from, &begin, &end))
            return false;
        if (!encode_piece(e, text + done, begin - done, step + 1) ||
            !encode_piece(e, text + begin, end - begin, step + 1))
            return false;
        done = end;
        from = end;
        if (begin == end && end < n) { /* an empty match: go on behind the next character */
            uint32_t c;
            from += csm_utf8_next(text + end, &c);
        }
    }
    return encode_piece(e, text + done, n - done, step + 1);
}

/* The text through the steps from `step` on, then BPE. */
static bool encode_piece(struct encoding *e, const char *text, size_t n, size_t step)
{
    const csm_tokenizer *t = e->tokenizer;
    if (n == 0)
        return true;
    if (step == t->n_steps)
        return csm_bpe_piece(t->bpe, (const unsigned char *)text, n, &e->ids);
    if (!t->steps[step].adds_space || text[0] == ' ')
        return split(e, text, n, step);
    char *spaced = malloc(n + 1);
    if (spaced == NULL)
        return false;
    spaced[0] = ' ';
    memcpy(spaced + 1, text, n);
    bool is_good = split(e, spaced, n + 1, step);
    free(spaced);
    return is_good;
}

/* Cut the added tokens of kind `kind` and later out of the text. */
static bool encode_text(struct encoding *e, const char *text, size_t n, size_t kind)
{
    if (kind == 2)
        return encode_piece(e, text, n, 0);
    struct csm_added_walk walk = {.text = text, .n = n};
    for (;;) {
        size_t begin, end;
        bool is_good;
        const struct csm_added_token *token = csm_added_next(
            &e->tokenizer->added[kind], e->matcher, &walk, &begin, &end, &is_good);
        if (!is_good)
            return false;
        if (token == NULL)
            return walk.done >= n || encode_text(e, text + walk.done, n - walk.done, kind + 1);
        if ((begin > walk.done &&
             !encode_text(e, text + walk.done, begin - walk.done, kind + 1)) ||
            !csm_ids_push(&e->ids, token->id))
            return false;
        walk.done = end;
    }
}

static bool push_all(struct csm_ids *ids, const int32_t *more, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!csm_ids_push(ids, more[i]))
            return false;
    return true;
}

csm_status csm_tokenizer_check(const char *text, size_t n_bytes, csm_error *err)
{
    const size_t n_valid = csm_utf8_valid(text, n_bytes);
    if (n_valid != n_bytes)
        return csm_fail(err, CSM_BAD_ARG, "text: byte %zu is not UTF-8, expected UTF-8", n_valid);
    return CSM_OK;
}

csm_status csm_tokenizer_encode(const csm_tokenizer *t, const char *text, size_t n_bytes,
                                bool has_template, int32_t **ids, size_t *n_ids, csm_error *err)
{
    csm_status st = csm_tokenizer_check(text, n_bytes, err);
    if (st != CSM_OK)
        return st;
    struct encoding e = {.tokenizer = t, .matcher = csm_matcher_new()};
    bool is_good = e.matcher != NULL;
    if (is_good && has_template)
        is_good = push_all(&e.ids, t->before, t->n_before);
    if (is_good)
        is_good = encode_text(&e, text, n_bytes, 0);
    if (is_good && has_template)
        is_good = push_all(&e.ids, t->after, t->n_after);
    csm_matcher_free(e.matcher);
    if (!is_good) {
        free(e.ids.data);
        return csm_fail(err, CSM_NO_MEMORY, "text: %zu bytes: out of memory", n_bytes);
    }
    *ids = e.ids.data;
    *n_ids = e.ids.n;
    return CSM_OK;
}

size_t csm_tokenizer_before(const csm_tokenizer *t)
{
    return t->n_before;
}

size_t csm_tokenizer_after(const csm_tokenizer *t)
{
    return t->n_after;
}
