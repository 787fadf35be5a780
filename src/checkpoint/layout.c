/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.c - the name maps. In a pattern, # is the layer, the codebook of its
 * branch, or the place of a module in SEANet's sequence; @ is the part's own
 * stem: "encoder" or "decoder" of Mimi. */
#include "checkpoint/layout.h"

#include <stdio.h>
#include <string.h>

struct pattern {
    const char *hf, *sesame, *mlx;
};

static const struct pattern backbone[CSM_ROLE_COUNT] = {
    [CSM_ROLE_ATTENTION_NORM] = {"backbone_model.layers.#.input_layernorm.weight",
                                 "backbone.layers.#.sa_norm.scale",
                                 "backbone.layers.#.input_layernorm.weight"},
    [CSM_ROLE_Q] = {"backbone_model.layers.#.self_attn.q_proj.weight",
                    "backbone.layers.#.attn.q_proj.weight",
                    "backbone.layers.#.self_attn.q_proj.weight"},
    [CSM_ROLE_K] = {"backbone_model.layers.#.self_attn.k_proj.weight",
                    "backbone.layers.#.attn.k_proj.weight",
                    "backbone.layers.#.self_attn.k_proj.weight"},
    [CSM_ROLE_V] = {"backbone_model.layers.#.self_attn.v_proj.weight",
                    "backbone.layers.#.attn.v_proj.weight",
                    "backbone.layers.#.self_attn.v_proj.weight"},
    [CSM_ROLE_O] = {"backbone_model.layers.#.self_attn.o_proj.weight",
                    "backbone.layers.#.attn.output_proj.weight",
                    "backbone.layers.#.self_attn.o_proj.weight"},
    [CSM_ROLE_MLP_NORM] = {"backbone_model.layers.#.post_attention_layernorm.weight",
                           "backbone.layers.#.mlp_norm.scale",
                           "backbone.layers.#.post_attention_layernorm.weight"},
    [CSM_ROLE_GATE] = {"backbone_model.layers.#.mlp.gate_proj.weight",
                       "backbone.layers.#.mlp.w1.weight",
                       "backbone.layers.#.mlp.gate_proj.weight"},
    [CSM_ROLE_UP] = {"backbone_model.layers.#.mlp.up_proj.weight",
                     "backbone.layers.#.mlp.w3.weight", "backbone.layers.#.mlp.up_proj.weight"},
    [CSM_ROLE_DOWN] = {"backbone_model.layers.#.mlp.down_proj.weight",
                       "backbone.layers.#.mlp.w2.weight",
                       "backbone.layers.#.mlp.down_proj.weight"},
    [CSM_ROLE_FINAL_NORM] = {"backbone_model.norm.weight", "backbone.norm.scale",
                             "backbone.norm.weight"},
    [CSM_ROLE_TEXT_TABLE] = {"embed_text_tokens.weight", "text_embeddings.weight",
                             "text_embeddings.weight"},
    [CSM_ROLE_AUDIO_TABLE] = {"backbone_model.embed_tokens.embed_audio_tokens.weight",
                              "audio_embeddings.weight", "audio_embeddings.weight"},
    [CSM_ROLE_HEAD] = {"lm_head.weight", "codebook0_head.weight", "codebook0_head.weight"},
};

static const struct pattern depth[CSM_ROLE_COUNT] = {
    [CSM_ROLE_ATTENTION_NORM] = {"depth_decoder.model.layers.#.input_layernorm.weight",
                                 "decoder.layers.#.sa_norm.scale",
                                 "decoder.layers.#.input_layernorm.weight"},
    [CSM_ROLE_Q] = {"depth_decoder.model.layers.#.self_attn.q_proj.weight",
                    "decoder.layers.#.attn.q_proj.weight",
                    "decoder.layers.#.self_attn.q_proj.weight"},
    [CSM_ROLE_K] = {"depth_decoder.model.layers.#.self_attn.k_proj.weight",
                    "decoder.layers.#.attn.k_proj.weight",
                    "decoder.layers.#.self_attn.k_proj.weight"},
    [CSM_ROLE_V] = {"depth_decoder.model.layers.#.self_attn.v_proj.weight",
                    "decoder.layers.#.attn.v_proj.weight",
                    "decoder.layers.#.self_attn.v_proj.weight"},
    [CSM_ROLE_O] = {"depth_decoder.model.layers.#.self_attn.o_proj.weight",
                    "decoder.layers.#.attn.output_proj.weight",
                    "decoder.layers.#.self_attn.o_proj.weight"},
    [CSM_ROLE_MLP_NORM] = {"depth_decoder.model.layers.#.post_attention_layernorm.weight",
                           "decoder.layers.#.mlp_norm.scale",
                           "decoder.layers.#.post_attention_layernorm.weight"},
    [CSM_ROLE_GATE] = {"depth_decoder.model.layers.#.mlp.gate_proj.weight",
                       "decoder.layers.#.mlp.w1.weight", "decoder.layers.#.mlp.gate_proj.weight"},
    [CSM_ROLE_UP] = {"depth_decoder.model.layers.#.mlp.up_proj.weight",
                     "decoder.layers.#.mlp.w3.weight", "decoder.layers.#.mlp.up_proj.weight"},
    [CSM_ROLE_DOWN] = {"depth_decoder.model.layers.#.mlp.down_proj.weight",
                       "decoder.layers.#.mlp.w2.weight", "decoder.layers.#.mlp.down_proj.weight"},
    [CSM_ROLE_FINAL_NORM] = {"depth_decoder.model.norm.weight", "decoder.norm.scale",
                             "decoder.norm.weight"},
    [CSM_ROLE_AUDIO_TABLE] = {"depth_decoder.model.embed_tokens.weight", NULL, NULL},
    [CSM_ROLE_PROJECTION] = {"depth_decoder.model.inputs_embeds_projector.weight",
                             "projection.weight", "projection.weight"},
    [CSM_ROLE_HEAD] = {"depth_decoder.codebooks_head.weight", "audio_head", "audio_head"},
};

/* Mimi: HF's names and kyutai's. */
struct codec_pattern {
    const char *hf, *kyutai;
};

#define KYUTAI_LAYER "@_transformer.transformer.layers.#."
static const struct codec_pattern codec[CSM_ROLE_COUNT] = {
    [CSM_ROLE_ATTENTION_NORM] = {"@_transformer.layers.#.input_layernorm.weight",
                                 KYUTAI_LAYER "norm1.weight"},
    [CSM_ROLE_ATTENTION_NORM_BIAS] = {"@_transformer.layers.#.input_layernorm.bias",
                                      KYUTAI_LAYER "norm1.bias"},
    [CSM_ROLE_Q] = {"@_transformer.layers.#.self_attn.q_proj.weight",
                    KYUTAI_LAYER "self_attn.in_proj_weight"},
    [CSM_ROLE_K] = {"@_transformer.layers.#.self_attn.k_proj.weight",
                    KYUTAI_LAYER "self_attn.in_proj_weight"},
    [CSM_ROLE_V] = {"@_transformer.layers.#.self_attn.v_proj.weight",
                    KYUTAI_LAYER "self_attn.in_proj_weight"},
    [CSM_ROLE_O] = {"@_transformer.layers.#.self_attn.o_proj.weight",
                    KYUTAI_LAYER "self_attn.out_proj.weight"},
    [CSM_ROLE_ATTENTION_SCALE] = {"@_transformer.layers.#.self_attn_layer_scale.scale",
                                  KYUTAI_LAYER "layer_scale_1.scale"},
    [CSM_ROLE_MLP_NORM] = {"@_transformer.layers.#.post_attention_layernorm.weight",
                           KYUTAI_LAYER "norm2.weight"},
    [CSM_ROLE_MLP_NORM_BIAS] = {"@_transformer.layers.#.post_attention_layernorm.bias",
                                KYUTAI_LAYER "norm2.bias"},
    [CSM_ROLE_UP] = {"@_transformer.layers.#.mlp.fc1.weight", KYUTAI_LAYER "linear1.weight"},
    [CSM_ROLE_DOWN] = {"@_transformer.layers.#.mlp.fc2.weight", KYUTAI_LAYER "linear2.weight"},
    [CSM_ROLE_MLP_SCALE] = {"@_transformer.layers.#.mlp_layer_scale.scale",
                            KYUTAI_LAYER "layer_scale_2.scale"},
    [CSM_ROLE_CONV_IN] = {"@.layers.#.conv.weight", "@.model.#.conv.conv.weight"},
    [CSM_ROLE_CONV_IN_BIAS] = {"@.layers.#.conv.bias", "@.model.#.conv.conv.bias"},
    [CSM_ROLE_RESIDUAL_1] = {"@.layers.#.block.1.conv.weight",
                             "@.model.#.block.1.conv.conv.weight"},
    [CSM_ROLE_RESIDUAL_1_BIAS] = {"@.layers.#.block.1.conv.bias",
                                  "@.model.#.block.1.conv.conv.bias"},
    [CSM_ROLE_RESIDUAL_2] = {"@.layers.#.block.3.conv.weight",
                             "@.model.#.block.3.conv.conv.weight"},
    [CSM_ROLE_RESIDUAL_2_BIAS] = {"@.layers.#.block.3.conv.bias",
                                  "@.model.#.block.3.conv.conv.bias"},
    [CSM_ROLE_STRIDED] = {"@.layers.#.conv.weight", "@.model.#.conv.conv.weight"},
    [CSM_ROLE_STRIDED_BIAS] = {"@.layers.#.conv.bias", "@.model.#.conv.conv.bias"},
    [CSM_ROLE_CONV_OUT] = {"@.layers.#.conv.weight", "@.model.#.conv.conv.weight"},
    [CSM_ROLE_CONV_OUT_BIAS] = {"@.layers.#.conv.bias", "@.model.#.conv.conv.bias"},
};

/* Roles whose name depends on more than a stem and a number. */
static const char *special(enum csm_layout layout, enum csm_part part, enum csm_role role,
                           bool is_semantic)
{
    const bool hf = layout == CSM_LAYOUT_HF, encoder = part == CSM_ENCODER;
    switch (role) {
    case CSM_ROLE_STRIDED:
        return hf || encoder ? NULL : "@.model.#.convtr.convtr.weight";
    case CSM_ROLE_STRIDED_BIAS:
        return hf || encoder ? NULL : "@.model.#.convtr.convtr.bias";
    case CSM_ROLE_RESAMPLE:
        if (encoder)
            return hf ? "downsample.conv.weight" : "downsample.conv.conv.conv.weight";
        return hf ? "upsample.conv.weight" : "upsample.convtr.convtr.convtr.weight";
    case CSM_ROLE_SEMANTIC_PROJECTION:
        if (encoder)
            return hf ? "quantizer.semantic_residual_vector_quantizer.input_proj.weight"
                      : "quantizer.rvq_first.input_proj.weight";
        return hf ? "quantizer.semantic_residual_vector_quantizer.output_proj.weight"
                  : "quantizer.rvq_first.output_proj.weight";
    case CSM_ROLE_ACOUSTIC_PROJECTION:
        if (encoder)
            return hf ? "quantizer.acoustic_residual_vector_quantizer.input_proj.weight"
                      : "quantizer.rvq_rest.input_proj.weight";
        return hf ? "quantizer.acoustic_residual_vector_quantizer.output_proj.weight"
                  : "quantizer.rvq_rest.output_proj.weight";
    case CSM_ROLE_EMBED_SUM:
        if (is_semantic)
            return hf ? "quantizer.semantic_residual_vector_quantizer.layers.#.codebook.embed_sum"
                      : "quantizer.rvq_first.vq.layers.#._codebook.embedding_sum";
        return hf ? "quantizer.acoustic_residual_vector_quantizer.layers.#.codebook.embed_sum"
                  : "quantizer.rvq_rest.vq.layers.#._codebook.embedding_sum";
    case CSM_ROLE_CLUSTER_USAGE:
        if (is_semantic)
            return hf ? "quantizer.semantic_residual_vector_quantizer.layers.#.codebook."
                        "cluster_usage"
                      : "quantizer.rvq_first.vq.layers.#._codebook.cluster_usage";
        return hf ? "quantizer.acoustic_residual_vector_quantizer.layers.#.codebook.cluster_usage"
                  : "quantizer.rvq_rest.vq.layers.#._codebook.cluster_usage";
    default:
        return NULL;
    }
}

/* Where a module stands in SEANet's sequence. Each stage has n blocks, an ELU
 * and a strided convolution, which the decoder has first. */
static size_t module_place(enum csm_part part, enum csm_role role, size_t index,
                           const struct csm_codec_config *config)
{
    const size_t n = config->n_residual_layers, stage = n + 2;
    switch (role) {
    case CSM_ROLE_RESIDUAL_1:
    case CSM_ROLE_RESIDUAL_1_BIAS:
    case CSM_ROLE_RESIDUAL_2:
    case CSM_ROLE_RESIDUAL_2_BIAS:
        return 1 + index / n * stage + index % n + (part == CSM_DECODER ? 2 : 0);
    case CSM_ROLE_STRIDED:
    case CSM_ROLE_STRIDED_BIAS:
        return 1 + index * stage + (part == CSM_DECODER ? 1 : n + 1);
    case CSM_ROLE_CONV_OUT:
    case CSM_ROLE_CONV_OUT_BIAS:
        return 1 + config->n_ratios * stage + 1;
    default:
        return index;
    }
}

static const char *select(const struct pattern *patterns, enum csm_layout layout,
                          enum csm_role role)
{
    switch (layout) {
    case CSM_LAYOUT_HF:
        return patterns[role].hf;
    case CSM_LAYOUT_SESAME:
        return patterns[role].sesame;
    case CSM_LAYOUT_MLX:
    case CSM_LAYOUT_CSM_HF:
        return patterns[role].mlx;
    default:
        return NULL;
    }
}

/* Fill a pattern in; names that would not fit are cut, and then not found. */
static void expand(char name[CSM_NAME_MAX], const char *prefix, const char *pattern,
                   const char *stem, size_t number)
{
    size_t n = (size_t)snprintf(name, CSM_NAME_MAX, "%s", prefix);
    for (const char *c = pattern; *c != '\0' && n < CSM_NAME_MAX; c++) {
        if (*c == '#')
            n += (size_t)snprintf(name + n, CSM_NAME_MAX - n, "%zu", number);
        else if (*c == '@')
            n += (size_t)snprintf(name + n, CSM_NAME_MAX - n, "%s", stem);
        else
            n += (size_t)snprintf(name + n, CSM_NAME_MAX - n, "%c", *c);
    }
}

/* A pattern of Mimi's as transformers' modules have it: all but the quantizer in the encoder or the
 * decoder. */
static const char *within_modules(const char *pattern, char out[CSM_NAME_MAX])
{
    if (strncmp(pattern, "quantizer.", strlen("quantizer.")) == 0)
        return pattern;
    const bool is_seanet = pattern[0] == '@' && pattern[1] == '.';
    snprintf(out, CSM_NAME_MAX, "@.%s%s", is_seanet ? "@_seanet" : "", pattern + is_seanet);
    return out;
}

bool csm_layout_name(const struct csm_place *place, enum csm_part part, enum csm_role role,
                     size_t index, const struct csm_codec_config *config, char name[CSM_NAME_MAX])
{
    const char *pattern;
    char within[CSM_NAME_MAX];
    size_t number = index;
    if (part == CSM_BACKBONE || part == CSM_DEPTH) {
        pattern = select(part == CSM_BACKBONE ? backbone : depth, place->layout, role);
    } else {
        bool is_semantic = index < config->n_semantic;
        pattern = special(place->layout, part, role, is_semantic);
        if (pattern == NULL)
            pattern = place->layout == CSM_LAYOUT_HF ? codec[role].hf : codec[role].kyutai;
        if (pattern != NULL && place->has_modules)
            pattern = within_modules(pattern, within);
        if (role == CSM_ROLE_EMBED_SUM || role == CSM_ROLE_CLUSTER_USAGE)
            number = is_semantic ? index : index - config->n_semantic;
        else
            number = module_place(part, role, index, config);
    }
    if (pattern == NULL)
        return false;
    expand(name, place->prefix, pattern, part == CSM_ENCODER ? "encoder" : "decoder", number);
    return true;
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void recognise_language(const char *name, struct csm_place *place)
{
    const char *prefix = begins(name, "model.") ? "model." : "";
    const char *rest = name + strlen(prefix);
    if (strstr(name, "lora_") != NULL)
        return; /* an adapter has the names of what it adapts */
    if (begins(name, "backbone_model.") || begins(name, "depth_decoder.model.")) {
        place->layout = CSM_LAYOUT_HF;
        place->prefix = "";
    } else if (begins(rest, "backbone.layers.") || begins(rest, "decoder.layers.")) {
        /* Mimi's decoder has layers too, but no attention in them. */
        if (strstr(rest, ".attn.") != NULL || strstr(rest, ".sa_norm.") != NULL)
            place->layout = CSM_LAYOUT_SESAME;
        else if (strstr(rest, ".self_attn.") != NULL)
            place->layout = CSM_LAYOUT_MLX;
        else
            return;
        place->prefix = prefix;
    }
}

bool csm_layout_has_pairs(enum csm_layout layout)
{
    return layout == CSM_LAYOUT_SESAME || layout == CSM_LAYOUT_MLX || layout == CSM_LAYOUT_KYUTAI;
}

static void recognise_codec(const char *name, struct csm_place *place)
{
    const char *prefix = begins(name, "codec_model.") ? "codec_model." : "";
    const char *rest = name + strlen(prefix);
    if (begins(rest, "quantizer.rvq_") || begins(rest, "encoder.model.") ||
        begins(rest, "decoder.model."))
        place->layout = CSM_LAYOUT_KYUTAI;
    else if (begins(rest, "quantizer.semantic_residual") ||
             begins(rest, "quantizer.acoustic_residual") || begins(rest, "encoder.layers."))
        place->layout = CSM_LAYOUT_HF;
    else
        return;
    place->prefix = prefix;
}

void csm_layout_recognise(const struct csm_tensor_set *set, struct csm_place *language,
                          struct csm_place *codec_place)
{
    *language = *codec_place = (struct csm_place){.prefix = "", .set = set};
    for (size_t i = 0; i < set->n; i++) {
        const char *name = set->tensors[i].name;
        if (language->layout == CSM_LAYOUT_NONE)
            recognise_language(name, language);
        if (codec_place->layout == CSM_LAYOUT_NONE)
            recognise_codec(name, codec_place);
    }
    for (size_t i = 0; i < set->n && codec_place->layout == CSM_LAYOUT_HF; i++)
        if (begins(set->tensors[i].name, codec_place->prefix) &&
            begins(set->tensors[i].name + strlen(codec_place->prefix), "encoder.encoder_"))
            codec_place->has_modules = true;
}
