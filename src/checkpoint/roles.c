/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/roles.h"

static struct csm_shape shape1(size_t a)
{
    return (struct csm_shape){1, {a, 0, 0}};
}
static struct csm_shape shape2(size_t a, size_t b)
{
    return (struct csm_shape){2, {a, b, 0}};
}
static struct csm_shape shape3(size_t a, size_t b, size_t c)
{
    return (struct csm_shape){3, {a, b, c}};
}

const struct csm_transformer_config *csm_part_transformer(const struct csm_config *config,
                                                           enum csm_part part)
{
    switch (part) {
    case CSM_BACKBONE:
        return &config->backbone;
    case CSM_DEPTH:
        return &config->depth;
    default:
        return &config->codec.transformer;
    }
}

bool csm_part_is_codec(enum csm_part part)
{
    return part == CSM_ENCODER || part == CSM_DECODER;
}

/* Channels of SEANet around stage s of a part: before it, or after its blocks. */
static size_t channels(const struct csm_codec_config *c, enum csm_part part, size_t s)
{
    return part == CSM_ENCODER ? c->n_filters << s : c->n_filters << (c->n_ratios - s);
}

static struct csm_shape codec_shape(const struct csm_codec_config *c, enum csm_part part,
                                enum csm_role role, size_t index)
{
    const bool encoder = part == CSM_ENCODER;
    const size_t last = c->n_ratios, stage = index / c->n_residual_layers;
    /* The decoder's blocks stand behind their stage's strided convolution. */
    const size_t inside = stage < last ? channels(c, part, encoder ? stage : stage + 1) : 0;
    switch (role) {
    case CSM_ROLE_CONV_IN:
        return encoder ? shape3(c->n_filters, 1, c->kernel)
                       : shape3(channels(c, part, 0), c->width, c->kernel);
    case CSM_ROLE_CONV_IN_BIAS:
        return shape1(channels(c, part, 0));
    case CSM_ROLE_RESIDUAL_1:
        return shape3(inside / c->compress, inside, c->residual_kernel);
    case CSM_ROLE_RESIDUAL_1_BIAS:
        return shape1(inside / c->compress);
    case CSM_ROLE_RESIDUAL_2:
        return shape3(inside, inside / c->compress, 1);
    case CSM_ROLE_RESIDUAL_2_BIAS:
        return shape1(inside);
    case CSM_ROLE_STRIDED:
        return encoder ? shape3(channels(c, part, index + 1), channels(c, part, index),
                                2 * c->ratios[last - 1 - index])
                       : shape3(channels(c, part, index), channels(c, part, index + 1),
                                2 * c->ratios[index]);
    case CSM_ROLE_STRIDED_BIAS:
        return shape1(channels(c, part, index + 1));
    case CSM_ROLE_CONV_OUT:
        return encoder ? shape3(c->width, channels(c, part, last), c->last_kernel)
                       : shape3(1, c->n_filters, c->last_kernel);
    case CSM_ROLE_CONV_OUT_BIAS:
        return shape1(encoder ? c->width : 1);
    case CSM_ROLE_RESAMPLE:
        return shape3(c->width, encoder ? c->width : c->width / c->upsample_groups, 4);
    case CSM_ROLE_SEMANTIC_PROJECTION:
    case CSM_ROLE_ACOUSTIC_PROJECTION:
        return encoder ? shape3(c->dim, c->width, 1) : shape3(c->width, c->dim, 1);
    case CSM_ROLE_EMBED_SUM:
        return shape2(c->n_entries, c->dim);
    case CSM_ROLE_CLUSTER_USAGE:
        return shape1(c->n_entries);
    default:
        return (struct csm_shape){0};
    }
}

struct csm_shape csm_role_shape(const struct csm_config *config, enum csm_part part,
                             enum csm_role role, size_t index)
{
    const struct csm_transformer_config *t = csm_part_transformer(config, part);
    const size_t q = t->n_heads * t->head_dim, kv = t->n_kv_heads * t->head_dim;
    switch (role) {
    case CSM_ROLE_ATTENTION_NORM:
    case CSM_ROLE_MLP_NORM:
        return shape1(t->width);
    case CSM_ROLE_Q:
        return shape2(q, t->width);
    case CSM_ROLE_K:
    case CSM_ROLE_V:
        return shape2(kv, t->width);
    case CSM_ROLE_O:
        return shape2(t->width, q);
    case CSM_ROLE_UP:
        return shape2(t->hidden, t->width);
    case CSM_ROLE_DOWN:
        return shape2(t->width, t->hidden);
    case CSM_ROLE_ATTENTION_NORM_BIAS:
    case CSM_ROLE_ATTENTION_SCALE:
    case CSM_ROLE_MLP_NORM_BIAS:
    case CSM_ROLE_MLP_SCALE:
        return csm_part_is_codec(part) ? shape1(t->width) : (struct csm_shape){0};
    default:
        break;
    }
    if (csm_part_is_codec(part))
        return codec_shape(&config->codec, part, role, index);
    switch (role) {
    case CSM_ROLE_GATE:
        return shape2(t->hidden, t->width);
    case CSM_ROLE_FINAL_NORM:
        return shape1(t->width);
    case CSM_ROLE_TEXT_TABLE:
        return part == CSM_BACKBONE ? shape2(config->text_vocab, t->width) : (struct csm_shape){0};
    case CSM_ROLE_AUDIO_TABLE:
        return shape2(config->n_codebooks * config->vocab, config->backbone.width);
    case CSM_ROLE_PROJECTION:
        return part == CSM_DEPTH ? shape2(t->width, config->backbone.width) : (struct csm_shape){0};
    case CSM_ROLE_HEAD:
        return part == CSM_BACKBONE ? shape2(config->vocab, t->width)
                                    : shape3(config->n_codebooks - 1, t->width, config->vocab);
    default:
        return (struct csm_shape){0};
    }
}

size_t csm_role_count(const struct csm_config *config, enum csm_part part, enum csm_role role)
{
    const struct csm_codec_config *c = &config->codec;
    if (csm_role_shape(config, part, role, 0).rank == 0)
        return 0;
    switch (role) {
    case CSM_ROLE_RESIDUAL_1:
    case CSM_ROLE_RESIDUAL_1_BIAS:
    case CSM_ROLE_RESIDUAL_2:
    case CSM_ROLE_RESIDUAL_2_BIAS:
        return c->n_ratios * c->n_residual_layers;
    case CSM_ROLE_STRIDED:
    case CSM_ROLE_STRIDED_BIAS:
        return c->n_ratios;
    case CSM_ROLE_EMBED_SUM:
    case CSM_ROLE_CLUSTER_USAGE:
        return c->n_codebooks;
    case CSM_ROLE_HEAD:
        return part == CSM_DEPTH ? config->n_codebooks - 1 : 1;
    default:
        break;
    }
    return role <= CSM_ROLE_MLP_SCALE ? csm_part_transformer(config, part)->n_layers : 1;
}
