/* SPDX-License-Identifier: Apache-2.0
 *
 * config_language.c - backbone and depth decoder.
 *
 * transformers writes every size (4.x and 5.x spell the rotation differently);
 * a key that is absent has its class's default, csm-1b's number. Sesame's
 * config.json names flavors instead, csm-mlx has none at all: there the shapes
 * of the tensors give all sizes but the number of heads, and the flavor gives
 * that; a key in transformers' spelling, where there is one, goes before both. */
#include <string.h>

#include "checkpoint/config_parts.h"

/* Sesame's models.py; MisoTTS's, as mlx-audio has them; Marvis's. */
static const struct flavor {
    const char *name;
    size_t n_layers, n_heads, n_kv_heads, width, hidden;
} flavors[] = {
    {"llama-1B", 16, 32, 8, 2048, 8192},
    {"llama-100M", 4, 8, 2, 1024, 8192},
    {"llama-8B", 32, 32, 8, 4096, 14336},
    {"llama-300M", 8, 24, 6, 1536, 6912},
    {"llama-250M", 6, 12, 3, 1536, 8192},
    {"llama-60M", 4, 8, 2, 1024, 4096},
};
enum { N_FLAVORS = sizeof flavors / sizeof *flavors };

/* The rescaling of torchtune's Llama 3.2, which all flavors have. */
static const struct csm_rope flavor_rope = {.theta = 500000,
                                            .factor = 32,
                                            .low_freq_factor = 1,
                                            .high_freq_factor = 4,
                                            .original_max_positions = 8192,
                                            .interleaved = true};

static size_t or_else(size_t found, size_t fallback)
{
    return found != 0 ? found : fallback;
}

/* Sizes by shape and flavor, before the keys of `object` are read over them. */
static void infer(struct csm_json_reader *reader, const json_t *root, const json_t *object,
                  const char *flavor_key, const struct csm_place *place, enum csm_part part,
                  struct csm_transformer_config *config)
{
    const char *name = csm_json_text(reader, root, flavor_key, NULL);
    const struct flavor *flavor = NULL;
    for (size_t i = 0; i < N_FLAVORS && name != NULL; i++)
        if (strcmp(flavors[i].name, name) == 0)
            flavor = &flavors[i];

    size_t width = csm_shape_of(place, part, CSM_ROLE_FINAL_NORM, 0, NULL, 0);
    size_t n_layers = csm_count_of(place, part, CSM_ROLE_ATTENTION_NORM, NULL);
    size_t hidden = csm_shape_of(place, part, CSM_ROLE_GATE, 0, NULL, 0);
    for (size_t i = 0; i < N_FLAVORS && name == NULL; i++)
        if (flavors[i].width == width && flavors[i].n_layers == n_layers &&
            flavors[i].hidden == hidden)
            flavor = &flavors[i];

    const struct flavor *base = flavor != NULL ? flavor : &flavors[part == CSM_DEPTH];
    *config = (struct csm_transformer_config){
        .n_layers = flavor != NULL ? flavor->n_layers : or_else(n_layers, base->n_layers),
        .width = flavor != NULL ? flavor->width : or_else(width, base->width),
        .hidden = flavor != NULL ? flavor->hidden : or_else(hidden, base->hidden),
        .n_heads = base->n_heads,
        .n_kv_heads = base->n_kv_heads,
        .norm_eps = 1e-5,
        .max_positions = 2048,
        .rope = flavor_rope,
    };
    if (flavor != NULL || json_object_get(object, "num_attention_heads") != NULL)
        return;
    if (name != NULL)
        csm_json_refuse(reader, flavor_key,
                        "%s: unknown flavor, expected one of llama-1B, llama-100M, llama-8B, "
                        "llama-300M, llama-250M, llama-60M, or num_attention_heads and "
                        "num_key_value_heads",
                        name);
    else
        csm_json_refuse(reader, flavor_key,
                        "missing, and %zu layers of width %zu are no known flavor: expected "
                        "num_attention_heads and num_key_value_heads",
                        n_layers, width);
}

/* csm-hf: LlamaConfig's defaults under the keys of `object`; sizes by shape where it
 * says nothing. */
static void infer_csm_hf(struct csm_json_reader *reader, const json_t *object, const char *key,
                         const struct csm_place *place, enum csm_part part,
                         struct csm_transformer_config *config)
{
    *config = (struct csm_transformer_config){
        .n_layers = or_else(csm_count_of(place, part, CSM_ROLE_ATTENTION_NORM, NULL), 32),
        .width = or_else(csm_shape_of(place, part, CSM_ROLE_FINAL_NORM, 0, NULL, 0), 4096),
        .hidden = or_else(csm_shape_of(place, part, CSM_ROLE_GATE, 0, NULL, 0), 11008),
        .n_heads = 32,
        .n_kv_heads = (size_t)csm_json_integer(reader, object, "num_attention_heads", 32, 1,
                                               CSM_MAX_COUNT),
        .norm_eps = 1e-6,
        .max_positions = 2048,
        .rope = {.theta = 10000},
    };
    if (object == NULL)
        csm_json_refuse(reader, key, "missing, expected in a config.json of csm-hf");
}

/* An id; a list stands for its first. -1: none. */
static int32_t read_id(struct csm_json_reader *reader, const json_t *root, const char *key,
                       int32_t fallback)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_null(value))
        return -1;
    if (json_is_array(value)) {
        const json_t *first = json_array_get(value, 0);
        if (!json_is_integer(first) || json_integer_value(first) < 0 ||
            json_integer_value(first) > CSM_MAX_SIZE)
            csm_json_refuse(reader, key, "expected an id or a list of ids");
        return (int32_t)json_integer_value(first);
    }
    return (int32_t)csm_json_integer(reader, root, key, fallback, 0, CSM_MAX_SIZE);
}

/* A size that two parts of the file give must be one. */
static void check_same(struct csm_json_reader *reader, const json_t *depth, const char *key,
                       size_t expected)
{
    int64_t found =
        csm_json_integer(reader, depth, key, (int64_t)expected, 1, CSM_MAX_SIZE);
    if (reader->status == CSM_OK && (size_t)found != expected)
        csm_json_refuse(reader, key, "%lld in depth_decoder_config, expected %zu",
                        (long long)found, expected);
}

/* A window over the keys, which transformers' cache obeys where a config.json has one: none here. */
static void check_window(struct csm_json_reader *reader, const json_t *object,
                         const struct csm_transformer_config *config)
{
    const int64_t whole = (int64_t)config->max_positions;
    const int64_t window =
        csm_json_integer(reader, object, "sliding_window", whole, 0, INT64_MAX);
    if (reader->status == CSM_OK && window < whole)
        csm_json_refuse(reader, "sliding_window", "%lld, expected null, or all of the %lld positions",
                        (long long)window, (long long)whole);
}

void csm_config_language(struct csm_json_reader *reader, const json_t *root,
                         const struct csm_place *place, struct csm_config *config)
{
    const bool is_hf = place->layout == CSM_LAYOUT_HF;
    const bool is_csm_hf = place->layout == CSM_LAYOUT_CSM_HF;
    const json_t *backbone =
        is_csm_hf ? csm_json_object(reader, root, "backbone_config") : root;
    const json_t *depth = csm_json_object(
        reader, root, is_csm_hf ? "decoder_config" : "depth_decoder_config");
    size_t text_vocab = 128256, vocab = 2051, n_codebooks = 32;

    if (is_hf) {
        config->backbone = (struct csm_transformer_config){
            .n_layers = 16, .width = 2048, .n_heads = 32, .n_kv_heads = 8, .hidden = 8192,
            .norm_eps = 1e-5, .max_positions = 2048, .rope = {.theta = 500000}};
        config->depth = (struct csm_transformer_config){
            .n_layers = 4, .width = 1024, .n_heads = 8, .n_kv_heads = 2, .hidden = 8192,
            .norm_eps = 1e-5, .max_positions = 33, .rope = {.theta = 500000}};
    } else {
        if (is_csm_hf) {
            infer_csm_hf(reader, backbone, "backbone_config", place, CSM_BACKBONE,
                         &config->backbone);
            infer_csm_hf(reader, depth, "decoder_config", place, CSM_DEPTH, &config->depth);
        } else {
            infer(reader, root, root, "backbone_flavor", place, CSM_BACKBONE, &config->backbone);
            infer(reader, root, depth, "decoder_flavor", place, CSM_DEPTH, &config->depth);
        }
        text_vocab = or_else(
            csm_shape_of(place, CSM_BACKBONE, CSM_ROLE_TEXT_TABLE, 0, NULL, 0), text_vocab);
        vocab = or_else(csm_shape_of(place, CSM_BACKBONE, CSM_ROLE_HEAD, 0, NULL, 0), vocab);
        size_t n_heads = csm_shape_of(place, CSM_DEPTH, CSM_ROLE_HEAD, 0, NULL, 0);
        n_codebooks = n_heads != 0 ? n_heads + 1 : n_codebooks;
    }
    csm_config_transformer(reader, backbone, "silu", &config->backbone);
    csm_config_transformer(reader, depth, "silu", &config->depth);
    check_window(reader, backbone, &config->backbone);
    check_window(reader, depth, &config->depth);

    config->text_vocab = (size_t)csm_json_integer(reader, root, "text_vocab_size",
                                                  (int64_t)text_vocab, 1, CSM_MAX_SIZE);
    vocab = (size_t)csm_json_integer(reader, root, "audio_vocab_size", (int64_t)vocab, 1,
                                     CSM_MAX_SIZE);
    config->vocab =
        (size_t)csm_json_integer(reader, root, "vocab_size", (int64_t)vocab, 1, CSM_MAX_SIZE);
    n_codebooks = (size_t)csm_json_integer(reader, root, "audio_num_codebooks",
                                           (int64_t)n_codebooks, 2, CSM_MAX_COUNT);
    config->n_codebooks = (size_t)csm_json_integer(reader, root, "num_codebooks",
                                                   (int64_t)n_codebooks, 2, CSM_MAX_COUNT);
    if (!is_csm_hf) { /* there it is a LlamaConfig, whose vocab_size is never read */
        check_same(reader, depth, "num_codebooks", config->n_codebooks);
        check_same(reader, depth, "vocab_size", config->vocab);
        check_same(reader, depth, "backbone_hidden_size", config->backbone.width);
    }
    if (reader->status == CSM_OK && config->vocab > (size_t)INT32_MAX / config->n_codebooks)
        csm_json_refuse(reader, "audio_vocab_size",
                        "%zu codes in each of %zu codebooks, expected at most %d rows in all",
                        config->vocab, config->n_codebooks, INT32_MAX);
    config->has_tied_tables =
        !is_hf || csm_json_bool(reader, root, "tie_codebooks_embeddings", true);

    config->has_speaker_space = csm_json_bool(reader, root, "speaker_prefix_space", false);
    config->bos_id = read_id(reader, root, "bos_token_id", is_hf ? 128000 : -1);
    config->audio_id = read_id(reader, root, "audio_token_id", is_hf ? 128002 : -1);
    config->audio_eos_id = read_id(reader, root, "audio_eos_token_id", is_hf ? 128003 : -1);
    config->code_eos = read_id(reader, root, "codebook_eos_token_id", 0);
    if (reader->status == CSM_OK &&
        (config->code_eos < 0 || (size_t)config->code_eos >= config->vocab))
        csm_json_refuse(reader, "codebook_eos_token_id", "expected an id below %zu",
                        config->vocab);

    config->backbone.rope.interleaved = csm_layout_has_pairs(place->layout);
    config->depth.rope.interleaved = csm_layout_has_pairs(place->layout);
}
