/* SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer_beside.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { N_NAMED = sizeof named / sizeof *named };

void csm_beside_free(struct csm_tokenizer_beside *beside)
{
    json_decref(beside->config);
    json_decref(beside->special_map);
    json_decref(beside->added);
    *beside = (struct csm_tokenizer_beside){0};
}

bool csm_beside_splits(const struct csm_tokenizer_beside *beside)
{
    return json_is_true(json_object_get(beside->config, "split_special_tokens"));
}

static csm_status refuse_memory(csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "tokenizer_config.json: out of memory");
}

/* Append the token of that content; `flags` (may be NULL) has AddedToken's keys. */
static csm_status append(json_t *out, const char *content, const json_t *flags, bool is_special,
                         csm_error *err)
{
    const json_t *normalized = json_object_get(flags, "normalized");
    json_t *token = json_pack(
        "{s:s, s:b, s:b, s:b, s:b, s:b}", "content", content, "single_word",
        json_is_true(json_object_get(flags, "single_word")), "lstrip",
        json_is_true(json_object_get(flags, "lstrip")), "rstrip",
        json_is_true(json_object_get(flags, "rstrip")), "normalized",
        normalized != NULL ? json_is_true(normalized) : !is_special, "special", is_special);
    return json_array_append_new(out, token) == 0 ? CSM_OK : refuse_memory(err);
}

/* A token by an id of a file: what is added goes by these, the lowest first. */
struct numbered {
    long id;
    const char *content;
    const json_t *flags; /* NULL: of added_tokens.json */
    bool is_special;
};

static int compare_ids(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static csm_status append_sorted(json_t *out, struct numbered *tokens, size_t n, csm_error *err)
{
    csm_status status = CSM_OK;
    qsort(tokens, n, sizeof *tokens, compare_ids);
    for (size_t i = 0; i < n && status == CSM_OK; i++)
        status = append(out, tokens[i].content, tokens[i].flags, tokens[i].is_special, err);
    return status;
}

/* tokenizer_config.json's added_tokens_decoder, {"128256": {"content": ...}, ...}. */
static csm_status append_decoder(json_t *out, const json_t *decoder, csm_error *err)
{
    struct numbered *tokens = calloc(json_object_size(decoder) + 1, sizeof *tokens);
    size_t n = 0;
    csm_status status = tokens != NULL ? CSM_OK : refuse_memory(err);
    const char *id;
    json_t *token;
    json_object_foreach((json_t *)decoder, id, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        char *end = NULL;
        const long number = strtol(id, &end, 10);
        if (status == CSM_OK && (content == NULL || *id == '\0' || *end != '\0'))
            status = csm_fail(err, CSM_BAD_FORMAT,
                              "tokenizer_config.json: added_tokens_decoder: %s: expected an id and a "
                              "token's content",
                              id);
        if (status == CSM_OK)
            tokens[n++] = (struct numbered){number, content, token,
                                            json_is_true(json_object_get(token, "special"))};
    }
    if (status == CSM_OK)
        status = append_sorted(out, tokens, n, err);
    free(tokens);
    return status;
}

/* What a file says of a token that has a name: a string, or AddedToken's keys. */
static const char *content_of(const json_t *value)
{
    return json_is_object(value) ? json_string_value(json_object_get(value, "content"))
                                 : json_string_value(value);
}

static bool is_in_list(const json_t *list, const char *content)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = content_of(json_array_get(list, i));
        if (one != NULL && strcmp(one, content) == 0)
            return true;
    }
    return false;
}

static const char extra_key[] = "extra_special_tokens", older_key[] = "additional_special_tokens";

static bool is_empty(const json_t *tokens)
{
    return json_array_size(tokens) == 0 && json_object_size(tokens) == 0;
}

/* The named tokens and lists of both files: special_tokens_map.json goes before, but the list of
 * tokenizer_config.json has its newer key by then. NULL: no memory. */
static json_t *settings_of(const struct csm_tokenizer_beside *beside, const json_t *padding,
                           bool has_decoder)
{
    json_t *settings = beside->config != NULL ? json_copy(beside->config) : json_object();
    json_t *pad = json_object_get(padding, "pad_token");
    json_t *older = json_object_get(settings, older_key);
    bool is_good = settings != NULL;
    if (is_good && !is_empty(older) && is_empty(json_object_get(settings, extra_key)))
        is_good = json_object_set(settings, extra_key, older) == 0;
    if (is_good && !has_decoder && beside->special_map != NULL)
        is_good = json_object_update(settings, beside->special_map) == 0;
    if (is_good && pad != NULL && json_object_get(settings, "pad_token") == NULL)
        is_good = json_object_set(settings, "pad_token", pad) == 0;
    if (!is_good) {
        json_decref(settings);
        settings = NULL;
    }
    return settings;
}

/* The list of further special tokens: under its older key where names of the model's own have taken
 * the newer one, as an object. */
static const json_t *extra_list(const json_t *settings)
{
    const json_t *extra = json_object_get(settings, extra_key);
    return json_array_size(extra) > 0 ? extra : json_object_get(settings, older_key);
}

static bool is_named(const char *key)
{
    for (size_t i = 0; i < N_NAMED; i++)
        if (strcmp(named[i], key) == 0)
            return true;
    return false;
}

/* added_tokens.json, {"<laugh>": 128256, ...}; an id that tokenizer.json has is that one's. */
static csm_status append_added(json_t *out, const json_t *added, const json_t *own,
                               const json_t *settings, csm_error *err)
{
    struct numbered *tokens = calloc(json_object_size(added) + 1, sizeof *tokens);
    size_t n = 0;
    csm_status status = tokens != NULL ? CSM_OK : refuse_memory(err);
    const char *content;
    json_t *id;
    json_object_foreach((json_t *)added, content, id) {
        if (status == CSM_OK &&
            !(json_number_value(id) >= 0 && json_number_value(id) <= INT32_MAX && json_is_number(id)))
            status = csm_fail(err, CSM_BAD_FORMAT, "added_tokens.json: %s: expected an id", content);
        bool is_special = is_in_list(extra_list(settings), content), is_owned = false;
        for (size_t i = 0; i < N_NAMED; i++) {
            const char *one = content_of(json_object_get(settings, named[i]));
            is_special = is_special || (one != NULL && strcmp(one, content) == 0);
        }
        for (size_t i = 0; i < json_array_size(own); i++)
            is_owned = is_owned || json_number_value(json_object_get(json_array_get(own, i), "id")) ==
                                       json_number_value(id);
        if (status == CSM_OK && !is_owned)
            tokens[n++] = (struct numbered){(long)json_number_value(id), content, NULL, is_special};
    }
    if (status == CSM_OK)
        status = append_sorted(out, tokens, n, err);
    free(tokens);
    return status;
}

/* A token by its name, unless it is one already. */
static csm_status append_special(json_t *out, const json_t *own, const json_t *value, csm_error *err)
{
    const char *content = content_of(value);
    if (content == NULL || is_in_list(own, content) || is_in_list(out, content))
        return CSM_OK;
    return append(out, content, json_is_object(value) ? value : NULL, true, err);
}

static csm_status append_settings(json_t *out, const json_t *own, const json_t *settings,
                                  csm_error *err)
{
    csm_status status = CSM_OK;
    const json_t *extra = extra_list(settings);
    const char *key;
    json_t *value;
    for (size_t i = 0; i < N_NAMED && status == CSM_OK; i++)
        status = append_special(out, own, json_object_get(settings, named[i]), err);
    /* Names of the model's own: "audio_token". */
    json_object_foreach((json_t *)settings, key, value) {
        const size_t n = strlen(key);
        if (status == CSM_OK && !is_named(key) && n > 6 && strcmp(key + n - 6, "_token") == 0)
            status = append_special(out, own, value, err);
    }
    json_object_foreach(json_object_get(settings, extra_key), key, value)
        if (status == CSM_OK)
            status = append_special(out, own, value, err);
    for (size_t i = 0; i < json_array_size(extra) && status == CSM_OK; i++)
        status = append_special(out, own, json_array_get(extra, i), err);
    return status;
}

csm_status csm_beside_tokens(const struct csm_tokenizer_beside *beside, const json_t *own,
                             const json_t *padding, json_t **out, csm_error *err)
{
    const json_t *decoder = json_object_get(beside->config, "added_tokens_decoder");
    json_t *tokens = json_array(), *settings = settings_of(beside, padding, decoder != NULL);
    csm_status status = tokens != NULL && settings != NULL ? CSM_OK : refuse_memory(err);
    if (status == CSM_OK && decoder != NULL)
        status = append_decoder(tokens, decoder, err);
    else if (status == CSM_OK)
        status = append_added(tokens, beside->added, own, settings, err);
    if (status == CSM_OK)
        status = append_settings(tokens, own, settings, err);
    json_decref(settings);
    if (status == CSM_OK)
        *out = tokens;
    else
        json_decref(tokens);
    return status;
}
