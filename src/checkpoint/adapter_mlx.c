/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_mlx.c - adapters of csm-mlx and mlx-lm: lora_a and lora_b beside a module
 * of MLX's layout, turned as its products read them; m of DoRA; modules trained
 * whole, as they are or inside the wrapper (`linear.`, `embedding.`). */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/json_file.h"

/* "MODULE.LEAF", with or without "model." before it. */
static struct csm_set_tensor *find(const struct csm_adapter_reader *reader, const char *module,
                                   const char *leaf)
{
    char name[CSM_NAME_MAX + 32];
    snprintf(name, sizeof name, "model.%s%s", module, leaf);
    struct csm_set_tensor *found = csm_tensor_set_find(reader->set, name + strlen("model."));
    return found != NULL ? found : csm_tensor_set_find(reader->set, name);
}

/* All that the adapter has of one weight. */
static csm_status read_role(struct csm_adapter_reader *reader, enum csm_part part,
                            enum csm_role role, size_t index, double scale)
{
    static const struct csm_place names = {.layout = CSM_LAYOUT_MLX, .prefix = ""};
    char name[CSM_NAME_MAX], module[CSM_NAME_MAX];
    const struct csm_config *config = csm_checkpoint_config(reader->checkpoint);
    if (!csm_layout_name(&names, part, role, index, &config->codec, name))
        return CSM_OK;
    csm_adapter_module(name, module, sizeof module);
    struct csm_set_tensor *whole = find(reader, name, "");
    for (int i = 0; whole == NULL && i < 2; i++)
        whole = find(reader, module, i == 0 ? ".linear.weight" : ".embedding.weight");
    struct csm_set_tensor *a = find(reader, module, ".lora_a");
    struct csm_set_tensor *b = find(reader, module, ".lora_b");
    struct csm_set_tensor *m = find(reader, module, ".m");
    if (whole == NULL && a == NULL && b == NULL && m == NULL)
        return CSM_OK;
    struct csm_patch *patch;
    csm_status st = csm_adapter_begin(reader, part, role, index, whole, true, &patch);
    if (st != CSM_OK || (a == NULL && b == NULL))
        return st;
    if (a == NULL || b == NULL || a->tensor.rank != 2 || b->tensor.rank != 2 ||
        a->tensor.shape[1] != b->tensor.shape[0])
        return csm_fail(reader->err, CSM_BAD_FORMAT,
                        "%s: %s: expected lora_a [in, rank] and lora_b [rank, out]",
                        reader->directory, (a != NULL ? a : b)->tensor.name);
    a->is_bound = b->is_bound = true;
    if (m != NULL)
        m->is_bound = true;
    const size_t rank = b->tensor.shape[0], n_a = a->tensor.shape[0], n_b = b->tensor.shape[1];
    const bool is_table = role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
    const struct csm_stride of_a = {0, rank, 1}, of_b = {0, 1, n_b};
    const struct csm_shape shape = csm_role_shape(config, part, role, index);
    if (shape.rank != 2 || (is_table ? n_a : n_b) != shape.size[0] ||
        (is_table ? n_b : n_a) != shape.size[1])
        return csm_fail(reader->err, CSM_BAD_FORMAT,
                        "%s: %s: a pair of [%zu, %zu, %zu], expected it around %zu and %zu",
                        reader->directory, a->tensor.name, n_a, rank, n_b, shape.size[0],
                        shape.size[1]);
    return is_table ? csm_adapter_add_pair(reader, patch, a, of_a, b, of_b, rank, scale, m, false,
                                           true)
                    : csm_adapter_add_pair(reader, patch, b, of_b, a, of_a, rank, scale, m, false,
                                           true);
}

csm_status csm_adapter_read_mlx(struct csm_adapter_reader *reader)
{
    const struct csm_config *config = csm_checkpoint_config(reader->checkpoint);
    struct csm_json_reader json = {"adapter_config.json", CSM_OK, reader->err};
    const char *type = csm_json_text(&json, reader->config, "fine_tune_type", "lora");
    if (strcmp(type, "lora") != 0 && strcmp(type, "dora") != 0 && strcmp(type, "full") != 0)
        csm_json_refuse(&json, "fine_tune_type", "%s, expected lora, dora or full", type);
    const json_t *parameters = csm_json_object(&json, reader->config, "lora_parameters");
    const double scale = csm_json_number(&json, parameters, "scale", 20, -1e9, 1e9);
    if (json.status == CSM_OK && strcmp(type, "full") != 0 &&
        json_object_get(parameters, "scale") == NULL)
        csm_json_refuse(&json, "lora_parameters.scale", "missing, expected a number");
    if (json.status != CSM_OK)
        return json.status;
    if (!config->has_tied_tables)
        return csm_fail(reader->err, CSM_BAD_FORMAT,
                        "%s: an adapter of MLX's layout, which has one audio table, over a model "
                        "that has two",
                        reader->directory);
    for (int p = CSM_BACKBONE; p <= CSM_DEPTH; p++)
        for (int r = 0; r < CSM_ROLE_COUNT; r++) {
            const size_t n = csm_role_count(config, (enum csm_part)p, (enum csm_role)r);
            for (size_t i = 0; i < n; i++) {
                csm_status st = read_role(reader, (enum csm_part)p, (enum csm_role)r, i, scale);
                if (st != CSM_OK)
                    return st;
            }
        }
    return CSM_OK;
}
