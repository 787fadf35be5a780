/* SPDX-License-Identifier: Apache-2.0
 *
 * config_codec.c - Mimi: transformers' codec_config (or the whole config.json of
 * a MimiModel), class defaults where a key is absent; for kyutai's file, which
 * comes without a configuration, sizes by the tensors' shapes, heads and window
 * by mimi_config.json (kyutai's spelling) where there is one, else the published
 * model's, if it is as wide as that. */
#include <math.h>
#include <string.h>

#include "checkpoint/config_parts.h"

/* The published Mimi: MimiConfig's defaults. */
static const struct csm_codec_config published = {
    .sample_rate_hz = 24000,
    .width = 512,
    .transformer = {.n_layers = 8, .width = 512, .n_heads = 8, .n_kv_heads = 8, .hidden = 2048,
                    .norm_eps = 1e-5, .max_positions = 8000, .window = 250,
                    .rope = {.theta = 10000}},
    .n_filters = 64,
    .n_ratios = 4,
    .ratios = {8, 6, 5, 4},
    .kernel = 7,
    .residual_kernel = 3,
    .last_kernel = 3,
    .n_residual_layers = 1,
    .dilation_growth = 2,
    .compress = 2,
    .upsample_groups = 512,
    .n_codebooks = 32,
    .n_semantic = 1,
    .n_entries = 2048,
    .dim = 256,
};

enum { MAX_RESIDUAL_LAYERS = 64 };

/* Replace *value by the size of a tensor's axis, if there is one. */
static void take(size_t *value, size_t found)
{
    if (found != 0)
        *value = found;
}

/* All that shapes tell, over the published numbers. */
static void infer(const struct csm_place *place, struct csm_codec_config *config)
{
    struct csm_transformer_config *t = &config->transformer;
    take(&config->n_filters, csm_shape_of(place, CSM_ENCODER, CSM_ROLE_CONV_IN, 0, config, 0));
    take(&config->kernel, csm_shape_of(place, CSM_ENCODER, CSM_ROLE_CONV_IN, 0, config, 2));
    size_t n_ratios = csm_count_of(place, CSM_DECODER, CSM_ROLE_STRIDED, config);
    if (place->layout == CSM_LAYOUT_HF && n_ratios > 0)
        n_ratios--; /* there the last convolution is called as one more of them would be */
    if (n_ratios > 0 && n_ratios <= CSM_MAX_RATIOS) {
        config->n_ratios = n_ratios;
        for (size_t i = 0; i < n_ratios; i++)
            take(&config->ratios[i],
                 csm_shape_of(place, CSM_DECODER, CSM_ROLE_STRIDED, i, config, 2) / 2);
    }
    take(&config->last_kernel, csm_shape_of(place, CSM_ENCODER, CSM_ROLE_CONV_OUT, 0, config, 2));
    take(&config->residual_kernel,
         csm_shape_of(place, CSM_ENCODER, CSM_ROLE_RESIDUAL_1, 0, config, 2));
    size_t inner = csm_shape_of(place, CSM_ENCODER, CSM_ROLE_RESIDUAL_1, 0, config, 0);
    take(&config->compress, inner != 0 ? config->n_filters / inner : 0);

    take(&t->width, csm_shape_of(place, CSM_ENCODER, CSM_ROLE_ATTENTION_NORM, 0, config, 0));
    take(&t->n_layers, csm_count_of(place, CSM_ENCODER, CSM_ROLE_ATTENTION_NORM, config));
    take(&t->hidden, csm_shape_of(place, CSM_ENCODER, CSM_ROLE_UP, 0, config, 0));
    size_t per_group = csm_shape_of(place, CSM_DECODER, CSM_ROLE_RESAMPLE, 0, config, 1);
    take(&config->upsample_groups, per_group != 0 ? t->width / per_group : 0);

    take(&config->n_codebooks, csm_count_of(place, CSM_DECODER, CSM_ROLE_EMBED_SUM, config));
    take(&config->n_entries, csm_shape_of(place, CSM_DECODER, CSM_ROLE_EMBED_SUM, 0, config, 0));
    take(&config->dim, csm_shape_of(place, CSM_DECODER, CSM_ROLE_EMBED_SUM, 0, config, 1));
}

static size_t read_size(struct csm_json_reader *reader, const json_t *object, const char *key,
                        size_t fallback)
{
    return (size_t)csm_json_integer(reader, object, key, (int64_t)fallback, 1, CSM_MAX_COUNT * 16);
}

static void read_ratios(struct csm_json_reader *reader, const json_t *object,
                        struct csm_codec_config *config)
{
    const json_t *ratios = json_object_get(object, "upsampling_ratios");
    if (ratios == NULL || json_is_null(ratios))
        return;
    config->n_ratios = json_array_size(ratios);
    bool is_good = config->n_ratios >= 1 && config->n_ratios <= CSM_MAX_RATIOS;
    for (size_t i = 0; is_good && i < config->n_ratios; i++) {
        const json_t *ratio = json_array_get(ratios, i);
        is_good = json_is_integer(ratio) && json_integer_value(ratio) >= 1 &&
                  json_integer_value(ratio) <= 64;
        config->ratios[i] = (size_t)json_integer_value(ratio);
    }
    if (!is_good)
        csm_json_refuse(reader, "upsampling_ratios", "expected 1 to %d integers from 1 to 64",
                        CSM_MAX_RATIOS);
}

/* What this engine's Mimi takes for granted, as every published one has it. */
static void check_fixed(struct csm_json_reader *reader, const json_t *object)
{
    if (!csm_json_bool(reader, object, "use_causal_conv", true))
        csm_json_refuse(reader, "use_causal_conv", "false, expected true");
    if (csm_json_bool(reader, object, "use_conv_shortcut", false))
        csm_json_refuse(reader, "use_conv_shortcut", "true, expected false");
    const char *pad = csm_json_text(reader, object, "pad_mode", "constant");
    if (strcmp(pad, "constant") != 0)
        csm_json_refuse(reader, "pad_mode", "%s, expected constant", pad);
    if (csm_json_number(reader, object, "trim_right_ratio", 1, 0, 1) != 1)
        csm_json_refuse(reader, "trim_right_ratio", "expected 1");
    if (csm_json_integer(reader, object, "audio_channels", 1, 1, 2) != 1)
        csm_json_refuse(reader, "audio_channels", "expected 1");
}

/* transformers' keys. */
static void read_keys(struct csm_json_reader *reader, const json_t *object,
                      struct csm_codec_config *config)
{
    check_fixed(reader, object);
    csm_config_transformer(reader, object, "gelu", &config->transformer);
    config->transformer.window = (size_t)csm_json_integer(
        reader, object, "sliding_window", (int64_t)config->transformer.window, 1, CSM_MAX_SIZE);
    config->sample_rate_hz = (int)csm_json_integer(reader, object, "sampling_rate",
                                                   config->sample_rate_hz, 1000, 192000);
    config->n_filters = read_size(reader, object, "num_filters", config->n_filters);
    read_ratios(reader, object, config);
    config->kernel = read_size(reader, object, "kernel_size", config->kernel);
    config->residual_kernel =
        read_size(reader, object, "residual_kernel_size", config->residual_kernel);
    config->last_kernel = read_size(reader, object, "last_kernel_size", config->last_kernel);
    config->n_residual_layers =
        read_size(reader, object, "num_residual_layers", config->n_residual_layers);
    config->dilation_growth =
        read_size(reader, object, "dilation_growth_rate", config->dilation_growth);
    config->compress = read_size(reader, object, "compress", config->compress);
    config->upsample_groups = read_size(reader, object, "upsample_groups", config->upsample_groups);
    config->n_codebooks = read_size(reader, object, "num_quantizers", config->n_codebooks);
    config->n_semantic = read_size(reader, object, "num_semantic_quantizers", config->n_semantic);
    config->n_entries = (size_t)csm_json_integer(reader, object, "codebook_size",
                                                 (int64_t)config->n_entries, 1, CSM_MAX_SIZE);
    config->dim =
        read_size(reader, object, "vector_quantization_hidden_dimension", config->dim);
    if (read_size(reader, object, "codebook_dim", config->dim) != config->dim)
        csm_json_refuse(reader, "codebook_dim",
                        "expected vector_quantization_hidden_dimension, %zu", config->dim);
}

/* kyutai's keys, those that shapes do not tell. */
static void read_kyutai(struct csm_json_reader *reader, const json_t *root,
                        struct csm_codec_config *config)
{
    struct csm_transformer_config *t = &config->transformer;
    const json_t *transformer = csm_json_object(reader, root, "transformer");
    t->n_heads = t->n_kv_heads = read_size(reader, transformer, "num_heads", t->n_heads);
    t->window = (size_t)csm_json_integer(reader, transformer, "context", (int64_t)t->window, 1,
                                         CSM_MAX_SIZE);
    t->rope.theta =
        csm_json_number(reader, transformer, "max_period", t->rope.theta, 1, 1e12);
    const json_t *seanet = csm_json_object(reader, root, "seanet");
    config->dilation_growth =
        read_size(reader, seanet, "dilation_base", config->dilation_growth);
    config->sample_rate_hz = (int)csm_json_integer(reader, root, "sample_rate",
                                                   config->sample_rate_hz, 1000, 192000);
}

/* Sizes that must fit each other, and those that follow. */
static void derive(struct csm_json_reader *reader, const json_t *object,
                   struct csm_codec_config *config)
{
    if (reader->status != CSM_OK)
        return;
    config->width = config->transformer.width;
    config->frame_samples = 2;
    for (size_t i = 0; i < config->n_ratios; i++)
        config->frame_samples *= config->ratios[i];
    double rate = (double)config->sample_rate_hz / (double)config->frame_samples;
    double said = csm_json_number(reader, object, "frame_rate",
                                  csm_json_number(reader, object, "_frame_rate", rate, 0, 1e6), 0,
                                  1e6);
    if (fabs(said - rate) > 1e-6 * rate)
        csm_json_refuse(reader, "frame_rate", "%g, expected %g by sampling_rate and ratios", said,
                        rate);
    if (config->n_semantic >= config->n_codebooks)
        csm_json_refuse(reader, "num_semantic_quantizers", "%zu, expected fewer than %zu",
                        config->n_semantic, config->n_codebooks);
    if (config->width % config->upsample_groups != 0)
        csm_json_refuse(reader, "upsample_groups", "%zu, expected a divisor of %zu",
                        config->upsample_groups, config->width);
    if (config->n_filters % config->compress != 0)
        csm_json_refuse(reader, "compress", "%zu, expected a divisor of %zu filters",
                        config->compress, config->n_filters);
    /* The widest convolution sees kernel * growth^(blocks - 1) rows. */
    size_t dilation = 1;
    for (size_t i = 1; i < config->n_residual_layers && dilation <= CSM_MAX_COUNT; i++)
        dilation *= config->dilation_growth;
    if (config->n_residual_layers > MAX_RESIDUAL_LAYERS || dilation > CSM_MAX_COUNT)
        csm_json_refuse(reader, "num_residual_layers",
                        "%zu with dilation_growth_rate %zu, expected at most %d blocks a stage "
                        "and a dilation of at most %d",
                        config->n_residual_layers, config->dilation_growth, MAX_RESIDUAL_LAYERS,
                        CSM_MAX_COUNT);
    if (config->frame_samples > CSM_MAX_SIZE)
        csm_json_refuse(reader, "upsampling_ratios", "frames of %zu samples, expected at most %d",
                        config->frame_samples, CSM_MAX_SIZE);
}

void csm_config_codec(struct csm_json_reader *reader, const json_t *root, const json_t *kyutai,
                      const struct csm_place *place, struct csm_codec_config *config)
{
    const bool is_kyutai = place->layout == CSM_LAYOUT_KYUTAI;
    const json_t *object = csm_json_object(reader, root, "codec_config");
    const char *type = csm_json_text(reader, root, "model_type", "");
    if (object == NULL && strcmp(type, "mimi") == 0)
        object = root;

    *config = published;
    if (is_kyutai || object == NULL || place->has_sizes_by_shape)
        infer(place, config);
    if (object != NULL) {
        read_keys(reader, object, config);
    } else {
        if (kyutai != NULL)
            read_kyutai(reader, kyutai, config);
        else if (config->transformer.width != published.width)
            csm_json_refuse(reader, "codec_config",
                            "missing, expected the heads and window of a codec %zu wide",
                            config->transformer.width);
        csm_config_transformer(reader, NULL, "gelu", &config->transformer);
    }
    derive(reader, object, config);
    config->transformer.rope.interleaved = is_kyutai;
}
