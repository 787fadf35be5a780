/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/config_parts.h"

#include <string.h>

static size_t read_size(struct csm_json_reader *reader, const json_t *object, const char *key,
                        size_t fallback, size_t high)
{
    return (size_t)csm_json_integer(reader, object, key, (int64_t)fallback, 1, (int64_t)high);
}

/* A head is rotated whole: with a part of it, transformers' CSM fails. */
static void check_whole(struct csm_json_reader *reader, const json_t *object)
{
    static const char key[] = "partial_rotary_factor";
    if (csm_json_number(reader, object, key, 1, 0, 1e9) != 1)
        csm_json_refuse(reader, key, "expected 1: a CSM rotates whole heads");
}

/* rope_scaling (4.x), which goes before rope_parameters (5.x) as in transformers, and
 * rope_theta; the rescaling that the rope comes with stays where neither is said. */
static void read_rope(struct csm_json_reader *reader, const json_t *object, size_t max_positions,
                      struct csm_rope *rope)
{
    check_whole(reader, object);
    rope->theta = csm_json_number(reader, object, "rope_theta", rope->theta, 1, 1e12);
    const char *key = "rope_scaling";
    const json_t *rules = csm_json_object(reader, object, key);
    if (json_object_size(rules) == 0) {
        key = "rope_parameters";
        rules = csm_json_object(reader, object, key);
    }
    if (rules == NULL) {
        if (json_is_null(json_object_get(object, "rope_scaling")) ||
            json_is_null(json_object_get(object, "rope_parameters")))
            rope->factor = 0;
        return;
    }
    check_whole(reader, rules);
    rope->theta = csm_json_number(reader, rules, "rope_theta", rope->theta, 1, 1e12);
    const char *type = csm_json_text(reader, rules, "rope_type",
                                     csm_json_text(reader, rules, "type", "default"));
    rope->factor = 0;
    if (strcmp(type, "default") == 0)
        return;
    if (strcmp(type, "llama3") != 0) {
        csm_json_refuse(reader, key, "rope_type %s, expected default or llama3", type);
        return;
    }
    rope->factor = csm_json_number(reader, rules, "factor", 0, 0, 1e9);
    rope->low_freq_factor = csm_json_number(reader, rules, "low_freq_factor", 0, 0, 1e9);
    rope->high_freq_factor = csm_json_number(reader, rules, "high_freq_factor", 0, 0, 1e9);
    /* One beside the rules goes before the one among them, as in transformers. */
    static const char original[] = "original_max_position_embeddings";
    rope->original_max_positions =
        csm_json_number(reader, object, original,
                        csm_json_number(reader, rules, original, (double)max_positions, 1, 1e12),
                        1, 1e12);
    if (reader->status == CSM_OK &&
        (rope->factor <= 0 || rope->low_freq_factor <= 0 ||
         rope->high_freq_factor <= rope->low_freq_factor))
        csm_json_refuse(reader, key,
                        "expected factor > 0 and 0 < low_freq_factor < high_freq_factor");
}

static void refuse_if(struct csm_json_reader *reader, const json_t *object, const char *key)
{
    if (csm_json_bool(reader, object, key, false))
        csm_json_refuse(reader, key, "true, expected false: a CSM has no such thing");
}

void csm_config_transformer(struct csm_json_reader *reader, const json_t *object,
                            const char *activation, struct csm_transformer_config *config)
{
    config->n_layers =
        read_size(reader, object, "num_hidden_layers", config->n_layers, CSM_MAX_COUNT);
    config->width = read_size(reader, object, "hidden_size", config->width, CSM_MAX_SIZE);
    config->hidden = read_size(reader, object, "intermediate_size", config->hidden, CSM_MAX_SIZE);
    config->n_heads =
        read_size(reader, object, "num_attention_heads", config->n_heads, CSM_MAX_COUNT);
    if (json_is_null(json_object_get(object, "num_key_value_heads")))
        config->n_kv_heads = config->n_heads;
    config->n_kv_heads =
        read_size(reader, object, "num_key_value_heads", config->n_kv_heads, CSM_MAX_COUNT);
    config->norm_eps = csm_json_number(
        reader, object, "rms_norm_eps",
        csm_json_number(reader, object, "norm_eps", config->norm_eps, 0, 1), 0, 1);
    config->max_positions =
        read_size(reader, object, "max_position_embeddings", config->max_positions, CSM_MAX_SIZE);
    read_rope(reader, object, config->max_positions, &config->rope);
    refuse_if(reader, object, "attention_bias");
    refuse_if(reader, object, "mlp_bias");
    const char *act = csm_json_text(reader, object, "hidden_act", activation);
    if (strcmp(act, activation) != 0)
        csm_json_refuse(reader, "hidden_act", "%s, expected %s", act, activation);
    if (reader->status != CSM_OK)
        return;

    config->head_dim = read_size(reader, object, "head_dim", config->width / config->n_heads,
                                 CSM_MAX_SIZE / config->n_heads);
    if (config->n_heads % config->n_kv_heads != 0)
        csm_json_refuse(reader, "num_key_value_heads", "%zu, expected a divisor of %zu heads",
                        config->n_kv_heads, config->n_heads);
    else if (config->head_dim == 0 || config->head_dim % 2 != 0)
        csm_json_refuse(reader, "head_dim", "%zu, expected an even number: halves are rotated",
                        config->head_dim);
}

static const csm_tensor *tensor_of(const struct csm_place *place, enum csm_part part,
                                   enum csm_role role, size_t index,
                                   const struct csm_codec_config *codec)
{
    char name[CSM_NAME_MAX];
    if (place->set == NULL || !csm_layout_name(place, part, role, index, codec, name))
        return NULL;
    const struct csm_set_tensor *found = csm_tensor_set_find(place->set, name);
    return found != NULL ? &found->tensor : NULL;
}

size_t csm_shape_of(const struct csm_place *place, enum csm_part part, enum csm_role role,
                    size_t index, const struct csm_codec_config *codec, size_t axis)
{
    const csm_tensor *tensor = tensor_of(place, part, role, index, codec);
    if (tensor == NULL || axis >= tensor->rank || tensor->shape[axis] > CSM_MAX_SIZE)
        return 0;
    return tensor->shape[axis];
}

size_t csm_count_of(const struct csm_place *place, enum csm_part part, enum csm_role role,
                    const struct csm_codec_config *codec)
{
    size_t n = 0;
    while (n < CSM_MAX_COUNT && tensor_of(place, part, role, n, codec) != NULL)
        n++;
    return n;
}
