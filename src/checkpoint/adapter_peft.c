/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_peft.c - adapters of PEFT: lora_A and lora_B beside a module of transformers'
 * model, lora_embedding_A and _B beside a table, lora_magnitude_vector of DoRA, a
 * parameter that is a stack of matrices (the depth decoder's heads), and modules kept
 * whole. Names are those of the model in memory, where Mimi's transformers lie inside
 * its encoder and decoder; ranks and alphas may differ from module to module. Beside them, or
 * alone (peft_type TRAINABLE_TOKENS), trainable_tokens_delta: rows of a table that replace the
 * base's. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/json_file.h"
#include "files/path.h"

struct settings {
    int64_t rank;
    double alpha;
    const json_t *ranks, *alphas; /* patterns */
    bool is_rslora, is_dora;
};

/* Whether a pattern of Python's matches all of a module's name, or where `has_front` its end from
 * a dot on. `otherwise`: of one that cannot be compiled. */
static bool matches(const char *pattern, bool has_front, const char *module, bool otherwise)
{
    const size_t size = strlen(pattern) + 16;
    char *whole = malloc(size);
    if (whole == NULL)
        return otherwise;
    snprintf(whole, size, "%s(%s)$", has_front ? "(.*\\.)?" : "", pattern);
    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    free(whole);
    if (compiled == NULL)
        return otherwise;
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(compiled, NULL);
    const bool is_match =
        found != NULL && pcre2_match(compiled, (PCRE2_SPTR)module, strlen(module), 0, 0, found,
                                     NULL) > 0;
    pcre2_match_data_free(found);
    pcre2_code_free(compiled);
    return is_match;
}

/* The number of the first pattern that matches, in the file's order. */
static double by_pattern(const json_t *patterns, const char *module, double fallback)
{
    const char *pattern;
    json_t *value;
    json_object_foreach((json_t *)patterns, pattern, value)
        if (json_is_number(value) && matches(pattern, true, module, false))
            return json_number_value(value);
    return fallback;
}

/* Keys that say how it was trained, or whose effect the tensors show; fan_in_fan_out is of layers
 * that no CSM has. */
static bool is_neutral(const char *key)
{
    static const char *const keys[] = {"auto_mapping",
                                       "base_model_name_or_path",
                                       "eva_config",
                                       "exclude_modules",
                                       "fan_in_fan_out",
                                       "inference_mode",
                                       "layers_pattern",
                                       "layers_to_transform",
                                       "loftq_config",
                                       "lora_alpha",
                                       "lora_dropout",
                                       "megatron_config",
                                       "megatron_core",
                                       "modules_to_save",
                                       "peft_type",
                                       "peft_version",
                                       "qalora_group_size",
                                       "r",
                                       "rank_pattern",
                                       "alpha_pattern",
                                       "revision",
                                       "runtime_config",
                                       "target_modules",
                                       "target_parameters",
                                       "task_type",
                                       "init_weights",
                                       "token_indices",
                                       "trainable_token_indices",
                                       "use_dora",
                                       "use_rslora",
                                       "bias",
                                       "init_lora_weights",
                                       "ensure_weight_tying"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static void check_numbers(struct csm_json_reader *json, const char *name, const json_t *patterns)
{
    const char *pattern;
    json_t *value;
    json_object_foreach((json_t *)patterns, pattern, value)
        if (!json_is_number(value))
            csm_json_refuse(json, name, "%s: expected a number", pattern);
}

static void read_settings(struct csm_json_reader *json, const json_t *config,
                          struct settings *settings)
{
    const char *type = csm_json_text(json, config, "peft_type", "");
    if (strcmp(type, "LORA") != 0 && strcmp(type, "TRAINABLE_TOKENS") != 0)
        csm_json_refuse(json, "peft_type",
                        "%s, expected LORA or TRAINABLE_TOKENS: merge it with PEFT "
                        "(merge_and_unload, save_pretrained)",
                        type);
    *settings = (struct settings){
        .rank = csm_json_integer(json, config, "r", 8, 1, 1 << 20),
        .alpha = csm_json_number(json, config, "lora_alpha", 8, -1e9, 1e9),
        .ranks = csm_json_object(json, config, "rank_pattern"),
        .alphas = csm_json_object(json, config, "alpha_pattern"),
        .is_rslora = csm_json_bool(json, config, "use_rslora", false),
        .is_dora = csm_json_bool(json, config, "use_dora", false),
    };
    check_numbers(json, "rank_pattern", settings->ranks);
    check_numbers(json, "alpha_pattern", settings->alphas);
    /* These begin from another base than the one on disk. */
    const json_t *begun = json_object_get(config, "init_lora_weights");
    const char *how = json_string_value(begun);
    if (how != NULL && strcmp(how, "gaussian") != 0 && strcmp(how, "eva") != 0 &&
        strcmp(how, "orthogonal") != 0)
        csm_json_refuse(json, "init_lora_weights",
                        "%s changes the base's weights, expected true, gaussian, eva or "
                        "orthogonal: convert it to plain LoRA with PEFT",
                        how);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value)
        if (!is_neutral(key) && !is_off(value))
            csm_json_refuse(json, key, "not done by this program, expected null or false");
}

/* "MODULE" and what stands behind it: as saved, or with the adapter's name in it. */
static struct csm_set_tensor *find(const struct csm_adapter_reader *reader, const char *module,
                                   const char *leaf, const char *ending)
{
    static const char *const between[] = {"", ".default"};
    char name[CSM_NAME_MAX + 64];
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s%s%s%s", module, leaf, between[i], ending);
        struct csm_set_tensor *found = csm_tensor_set_find(reader->set, name);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static struct csm_set_tensor *find_rows(const struct csm_adapter_reader *reader, const char *module)
{
    struct csm_set_tensor *rows = find(reader, module, ".token_adapter.trainable_tokens_delta", "");
    return rows != NULL ? rows : find(reader, module, ".trainable_tokens_delta", "");
}

/* The name of a weight as it is stored, or, of Mimi's, as transformers' modules have it. False: there is
 * none. */
static bool weight_name(const struct csm_config *config, enum csm_part part, enum csm_role role,
                        size_t index, bool has_modules, char name[CSM_NAME_MAX])
{
    const bool is_codec = csm_part_is_codec(part);
    struct csm_place place = {.layout = CSM_LAYOUT_HF, .prefix = is_codec ? "codec_model." : ""};
    char stored[CSM_NAME_MAX];
    if (!csm_layout_name(&place, part, role, index, &config->codec, stored))
        return false;
    place.has_modules = has_modules;
    return csm_layout_name(&place, part, role, index, &config->codec, name) &&
           (!has_modules || strcmp(name, stored) != 0);
}

/* Whether a list has a name, or the end of it from a dot on. */
static bool has_end(const json_t *names, const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *one = json_string_value(json_array_get(names, i));
        const size_t n_one = one != NULL ? strlen(one) : n + 1;
        if (n_one <= n && strcmp(name + n - n_one, one) == 0 &&
            (n_one == n || name[n - n_one - 1] == '.'))
            return true;
    }
    return false;
}

/* Whether the names are a pattern of the module's, or a list of which one is its end. */
static bool is_among(const json_t *names, const char *module)
{
    if (json_is_string(names))
        return strcmp(json_string_value(names), "all-linear") == 0 ||
               matches(json_string_value(names), false, module, true);
    return has_end(names, module);
}

/* Whether a list (or a value alone) has a text, or a number. */
static bool is_in(const json_t *list, const json_t *value)
{
    bool is_there = json_equal(list, value);
    for (size_t i = 0; i < json_array_size(list); i++)
        is_there = is_there || json_equal(json_array_get(list, i), value);
    return is_there;
}

/* The number of a module's layer, the last in its name, and what stands before it; NULL: none. */
static json_t *layer_of(const char *module, const json_t *patterns)
{
    for (const char *end = strrchr(module, '.'); end != NULL && end > module;) {
        const char *begin = end;
        while (begin > module && begin[-1] != '.')
            begin--;
        const char *before = begin > module ? begin - 1 : module;
        while (before > module && before[-1] != '.')
            before--;
        const bool is_number = begin < end && strspn(begin, "0123456789") == (size_t)(end - begin);
        if (is_number && before > module) {
            json_t *name = json_stringn(before, (size_t)(begin - 1 - before));
            const bool is_layer = json_is_null(patterns) || patterns == NULL ||
                                  (json_is_array(patterns) && json_array_size(patterns) == 0) ||
                                  is_in(patterns, name);
            json_decref(name);
            if (is_layer)
                return json_integer(strtol(begin, NULL, 10));
        }
        end = begin > module ? begin - 1 : NULL;
    }
    return NULL;
}

/* Whether PEFT has a place for a module's pair: tuners_utils.py, check_target_module_exists. */
static bool is_named(const json_t *config, const char *module)
{
    const json_t *targets = json_object_get(config, "target_modules");
    const json_t *layers = json_object_get(config, "layers_to_transform");
    if (!json_is_string(targets) && !json_is_array(targets))
        return true;
    if (is_among(json_object_get(config, "exclude_modules"), module) || !is_among(targets, module))
        return false;
    if (is_off(layers) || layers == NULL || json_is_string(targets))
        return true;
    json_t *layer = layer_of(module, json_object_get(config, "layers_pattern"));
    const bool is_there = layer != NULL && is_in(layers, layer);
    json_decref(layer);
    return is_there;
}

static void check_named(struct csm_adapter_reader *reader, const char *module)
{
    struct csm_adapters *adapters = reader->adapters;
    if (is_named(reader->config, module))
        return;
    if (adapters->n_unnamed++ == 0)
        snprintf(adapters->unnamed, sizeof adapters->unnamed, "%s", module);
}

/* The pair of one weight, if the adapter has it.
 *
 *   target  the name that patterns are of: the module's, or of target_parameters the weight's */
static csm_status read_pair(struct csm_adapter_reader *reader, const struct settings *settings,
                            const char *module, const char *target, struct csm_patch *patch,
                            bool is_table, struct csm_set_tensor *a, struct csm_set_tensor *b)
{
    csm_error *err = reader->err;
    struct csm_set_tensor *m = find(reader, module, ".lora_magnitude_vector", "");
    if (m == NULL)
        m = find(reader, module, ".lora_magnitude_vector", ".weight");
    if (a == NULL || b == NULL || a->tensor.rank != 2 || b->tensor.rank != 2)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected a pair of matrices, A and B",
                        reader->directory, (a != NULL ? a : b)->tensor.name);
    if (settings->is_dora != (m != NULL))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s: %s a lora_magnitude_vector, but use_dora is %s in "
                        "adapter_config.json",
                        reader->directory, a->tensor.name, m != NULL ? "with" : "without",
                        settings->is_dora ? "true" : "false");
    a->is_bound = b->is_bound = true;
    if (m != NULL)
        m->is_bound = true;
    const double rank = by_pattern(settings->ranks, target, (double)settings->rank);
    const double alpha = by_pattern(settings->alphas, target, settings->alpha);
    /* A stack of n matrices has the pairs of all in one: of A one after the other, of B
     * in turns. */
    const bool is_heads = patch->part == CSM_DEPTH && patch->role == CSM_ROLE_HEAD;
    const struct csm_config *config = csm_checkpoint_config(reader->checkpoint);
    const size_t n = is_heads ? config->n_codebooks - 1 : 1, e = is_heads ? patch->index : 0;
    const size_t r = a->tensor.shape[0] / n, cols = a->tensor.shape[1];
    const size_t rows = b->tensor.shape[0];
    const struct csm_shape shape =
        csm_role_shape(config, patch->part, patch->role, patch->index);
    const size_t want_rows = shape.rank > 1 ? shape.size[is_table ? 1 : is_heads] : 0;
    const size_t want_cols = shape.rank > 1 ? shape.size[is_table ? 0 : is_heads + 1] : 0;
    if ((double)r != rank || a->tensor.shape[0] != r * n || b->tensor.shape[1] != r * n ||
        rows != want_rows || cols != want_cols)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s: [%zu, %zu] and its B [%zu, %zu], expected [%.0f, %zu] and [%zu, %.0f]",
                        reader->directory, a->tensor.name, a->tensor.shape[0], cols, rows,
                        b->tensor.shape[1], rank * (double)n, want_cols, want_rows, rank * (double)n);
    const double scale = settings->is_rslora ? alpha / sqrt(rank) : alpha / rank;
    if (is_table)
        return csm_adapter_add_pair(reader, patch, a, (struct csm_stride){0, 1, cols}, b,
                                    (struct csm_stride){0, r, 1}, r, scale, m, true, false);
    return csm_adapter_add_pair(reader, patch, b, (struct csm_stride){e, r * n, n}, a,
                                (struct csm_stride){e * r * cols, 1, cols}, r, scale, m, false,
                                false);
}

/* The tokens whose rows of a table were trained: of TRAINABLE_TOKENS all tables', else those of
 * the last name that the module ends in, as PEFT has it. */
static const json_t *tokens_of(const json_t *config, const char *module)
{
    const json_t *all = json_object_get(config, "token_indices");
    const json_t *by_name = json_object_get(config, "trainable_token_indices");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)by_name, name, value)
        if (csm_path_ends_with(module, name))
            all = value;
    return all;
}

/* All that the adapter has of one weight under one spelling. */
static csm_status read_role(struct csm_adapter_reader *reader, const struct settings *settings,
                            enum csm_part part, enum csm_role role, size_t index,
                            bool has_modules)
{
    char name[CSM_NAME_MAX], module[CSM_NAME_MAX];
    if (!weight_name(csm_checkpoint_config(reader->checkpoint), part, role, index, has_modules, name))
        return CSM_OK;
    csm_adapter_module(name, module, sizeof module);
    struct csm_set_tensor *whole = csm_tensor_set_find(reader->set, name);
    struct csm_set_tensor *a = find(reader, module, ".lora_A", ".weight");
    struct csm_set_tensor *b = find(reader, module, ".lora_B", ".weight");
    struct csm_set_tensor *table_a = find(reader, module, ".lora_embedding_A", "");
    struct csm_set_tensor *table_b = find(reader, module, ".lora_embedding_B", "");
    const bool is_table = role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
    struct csm_set_tensor *rows = is_table ? find_rows(reader, module) : NULL;
    if (whole == NULL && a == NULL && b == NULL && table_a == NULL && table_b == NULL &&
        rows == NULL)
        return CSM_OK;
    const bool is_parameter = has_end(json_object_get(reader->config, "target_parameters"), name);
    const char *target = is_parameter ? name : module;
    if (!is_parameter && (a != NULL || table_a != NULL))
        check_named(reader, module);
    struct csm_patch *patch;
    csm_status st = csm_adapter_begin(reader, part, role, index, whole, false, &patch);
    if (st == CSM_OK && (a != NULL || b != NULL))
        st = read_pair(reader, settings, module, target, patch, false, a, b);
    if (st == CSM_OK && (table_a != NULL || table_b != NULL))
        st = read_pair(reader, settings, module, target, patch, true, table_a, table_b);
    if (st == CSM_OK && rows != NULL)
        st = csm_adapter_add_rows(reader, patch, rows, tokens_of(reader->config, module));
    return st;
}

csm_status csm_adapter_read_peft(struct csm_adapter_reader *reader)
{
    const struct csm_config *config = csm_checkpoint_config(reader->checkpoint);
    struct csm_json_reader json = {"adapter_config.json", CSM_OK, reader->err};
    struct settings settings;
    read_settings(&json, reader->config, &settings);
    if (json.status != CSM_OK)
        return json.status;
    const bool has_codec =
        csm_checkpoint_describe(reader->checkpoint).codec_layout != CSM_LAYOUT_NONE;
    for (int p = 0; p < CSM_N_PARTS; p++)
        for (int r = 0; r < CSM_ROLE_COUNT; r++) {
            const enum csm_part part = (enum csm_part)p;
            const enum csm_role role = (enum csm_role)r;
            if (csm_part_is_codec(part) && !has_codec)
                continue;
            const size_t n = csm_role_count(config, part, role);
            for (size_t i = 0; i < n; i++)
                for (int k = 0; k < 2; k++) {
                    csm_status st = read_role(reader, &settings, part, role, i, k == 1);
                    if (st != CSM_OK)
                        return st;
                }
        }
    return CSM_OK;
}
