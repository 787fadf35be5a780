/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_find.c - one weight by its role, checked by name and shape.
 *
 * Views that are not a tensor as it lies in the file: one head out of the depth
 * decoder's [K - 1, D, V]; q, k or v out of kyutai's fused matrix; Mimi's 1x1
 * projections without their last axis; and, made here, the identity that stands
 * for these projections where HF leaves them out (codebooks as wide as the
 * codec). */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/checkpoint_random.h"

/* A shape that a tensor should have; rank 0: the part has no such role. */
struct shape {
    size_t rank;
    size_t size[3];
};

static struct shape shape1(size_t a)
{
    return (struct shape){1, {a, 0, 0}};
}
static struct shape shape2(size_t a, size_t b)
{
    return (struct shape){2, {a, b, 0}};
}
static struct shape shape3(size_t a, size_t b, size_t c)
{
    return (struct shape){3, {a, b, c}};
}

static const struct csm_transformer_config *transformer_of(const struct csm_config *config,
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

static bool is_codec(enum csm_part part)
{
    return part == CSM_ENCODER || part == CSM_DECODER;
}

/* Channels of SEANet around stage s of a part: before it, or after its blocks. */
static size_t channels(const struct csm_codec_config *c, enum csm_part part, size_t s)
{
    return part == CSM_ENCODER ? c->n_filters << s : c->n_filters << (c->n_ratios - s);
}

static struct shape codec_shape(const struct csm_codec_config *c, enum csm_part part,
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
        return (struct shape){0};
    }
}

static struct shape shape_of(const struct csm_config *config, enum csm_part part,
                             enum csm_role role, size_t index)
{
    const struct csm_transformer_config *t = transformer_of(config, part);
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
        return is_codec(part) ? shape1(t->width) : (struct shape){0};
    default:
        break;
    }
    if (is_codec(part))
        return codec_shape(&config->codec, part, role, index);
    switch (role) {
    case CSM_ROLE_GATE:
        return shape2(t->hidden, t->width);
    case CSM_ROLE_FINAL_NORM:
        return shape1(t->width);
    case CSM_ROLE_TEXT_TABLE:
        return part == CSM_BACKBONE ? shape2(config->text_vocab, t->width) : (struct shape){0};
    case CSM_ROLE_AUDIO_TABLE:
        return shape2(config->n_codebooks * config->vocab, config->backbone.width);
    case CSM_ROLE_PROJECTION:
        return part == CSM_DEPTH ? shape2(t->width, config->backbone.width) : (struct shape){0};
    case CSM_ROLE_HEAD:
        return part == CSM_BACKBONE ? shape2(config->vocab, t->width)
                                    : shape3(config->n_codebooks - 1, t->width, config->vocab);
    default:
        return (struct shape){0};
    }
}

size_t csm_role_count(const struct csm_config *config, enum csm_part part, enum csm_role role)
{
    const struct csm_codec_config *c = &config->codec;
    if (shape_of(config, part, role, 0).rank == 0)
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
    return role <= CSM_ROLE_MLP_SCALE ? transformer_of(config, part)->n_layers : 1;
}

/* "[512, 1024]" */
struct shape_text {
    char text[8 * 24];
};
static struct shape_text shape_text(const size_t *size, size_t rank)
{
    struct shape_text out = {"["};
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n += (size_t)snprintf(out.text + n, sizeof out.text - n, i == 0 ? "%zu" : ", %zu",
                              size[i]);
    snprintf(out.text + n, sizeof out.text - n, "]");
    return out;
}

static csm_status refuse_shape(const csm_tensor *tensor, const struct shape *expected,
                               const char *file, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FORMAT, "%s: shape %s, expected %s (%s)", tensor->name,
                    shape_text(tensor->shape, tensor->rank).text,
                    shape_text(expected->size, expected->rank).text, file);
}

static bool is_float(csm_dtype dtype)
{
    return dtype == CSM_F32 || dtype == CSM_F16 || dtype == CSM_BF16;
}

static bool has_shape(const csm_tensor *tensor, const struct shape *shape)
{
    return tensor->rank == shape->rank &&
           memcmp(tensor->shape, shape->size, shape->rank * sizeof *shape->size) == 0;
}

/* Bits and group size that config.json gives to a module; 0 where it says
 * nothing. Overrides are keys by the module's path, with or without "model.". */
static void said_quantization(const json_t *root, const char *module, int *bits, int *group_size)
{
    const json_t *all = json_object_get(root, "quantization");
    const json_t *own = json_object_get(all, module);
    if (own == NULL && strncmp(module, "model.", 6) == 0)
        own = json_object_get(all, module + 6);
    const json_t *said = json_is_object(own) ? own : all;
    *bits = (int)json_integer_value(json_object_get(said, "bits"));
    *group_size = (int)json_integer_value(json_object_get(said, "group_size"));
}

/* MLX's quantization of a matrix whose float shape would be `shape`: groups go
 * along the last axis. Bits and group size follow from the shapes of the three
 * tensors; what config.json says must agree. A stack of heads is quantized as
 * [K - 1, V, D], so that groups go along the inputs. */
static csm_status find_quantized(const struct csm_checkpoint *checkpoint,
                                 const struct csm_place *place, const char *file,
                                 struct shape shape, struct csm_weight_source *source,
                                 csm_error *err)
{
    const csm_tensor *tensor = &source->tensor;
    if (shape.rank == 3)
        shape = shape3(shape.size[0], shape.size[2], shape.size[1]);
    const size_t last = shape.rank - 1, cols = shape.size[last];
    char module[CSM_NAME_MAX], name[CSM_NAME_MAX + 8];
    snprintf(module, sizeof module, "%s", tensor->name);
    char *suffix = strstr(module, ".weight");
    if (suffix != NULL)
        *suffix = '\0';
    snprintf(name, sizeof name, "%s.scales", module);
    const csm_tensor *scales = csm_weights_find(place->weights, name, NULL);
    snprintf(name, sizeof name, "%s.biases", module);
    const csm_tensor *biases = csm_weights_find(place->weights, name, NULL);
    if (scales == NULL || biases == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: quantized, but without %s.%s: expected affine quantization (%s)",
                        tensor->name, module, scales == NULL ? "scales" : "biases", file);
    if (!is_float(scales->dtype) || biases->dtype != scales->dtype)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s.scales and .biases: dtypes %s and %s, expected one of F32, F16, BF16 "
                        "(%s)",
                        module, csm_dtype_name(scales->dtype), csm_dtype_name(biases->dtype), file);

    const size_t words = tensor->rank == shape.rank ? tensor->shape[last] : 0;
    const size_t n_groups = scales->rank == shape.rank ? scales->shape[last] : 0;
    const size_t bits = words * 32 / cols;
    struct shape expected = shape;
    expected.size[last] = words;
    if (!has_shape(tensor, &expected) || (bits != 4 && bits != 8) || words * 32 != cols * bits) {
        expected.size[last] = cols / 4;
        csm_error shapes;
        (void)refuse_shape(tensor, &expected, file, &shapes);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: 8 bits, or half of it for 4", shapes.text);
    }
    expected.size[last] = n_groups;
    const size_t group_size = n_groups != 0 ? cols / n_groups : 0;
    if (!has_shape(scales, &expected) || n_groups == 0 || group_size * n_groups != cols ||
        (group_size != 32 && group_size != 64 && group_size != 128)) {
        expected.size[last] = cols / 64;
        csm_error shapes;
        (void)refuse_shape(scales, &expected, file, &shapes);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: groups of 64, or of 32 or 128", shapes.text);
    }
    if (!has_shape(biases, &expected))
        return refuse_shape(biases, &expected, file, err);

    int said_bits, said_group_size;
    said_quantization(checkpoint->root, module, &said_bits, &said_group_size);
    if ((said_bits != 0 && (size_t)said_bits != bits) ||
        (said_group_size != 0 && (size_t)said_group_size != group_size))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %zu bits in groups of %zu, expected %d in groups of %d by "
                        "config.json (%s)",
                        tensor->name, bits, group_size, said_bits, said_group_size, file);
    source->format = CSM_WEIGHT_AFFINE;
    source->bits = (int)bits;
    source->group_size = (int)group_size;
    source->scales = *scales;
    source->biases = *biases;
    return CSM_OK;
}

/* Keep the index-th of the tensor's first axis. */
static void take_slice(csm_tensor *tensor, size_t index)
{
    if (tensor->rank == 0)
        return;
    tensor->n_bytes /= tensor->shape[0];
    tensor->data = (const char *)tensor->data + index * tensor->n_bytes;
    tensor->rank--;
    memmove(tensor->shape, tensor->shape + 1, tensor->rank * sizeof *tensor->shape);
    tensor->shape[tensor->rank] = 0;
}

/* Keep n rows from `first` on. */
static void take_rows(csm_tensor *tensor, size_t first, size_t n)
{
    size_t row_bytes = tensor->n_bytes / tensor->shape[0];
    tensor->data = (const char *)tensor->data + first * row_bytes;
    tensor->shape[0] = n;
    tensor->n_bytes = n * row_bytes;
}

/* Of the fused matrix of all three, rows: q, then k, then v. */
static void take_fused(csm_tensor *tensor, const struct csm_transformer_config *t,
                       enum csm_role role)
{
    const size_t q = t->n_heads * t->head_dim, kv = t->n_kv_heads * t->head_dim;
    if (role == CSM_ROLE_Q)
        take_rows(tensor, 0, q);
    else
        take_rows(tensor, role == CSM_ROLE_K ? q : q + kv, kv);
}

static bool is_projection(enum csm_role role)
{
    return role == CSM_ROLE_SEMANTIC_PROJECTION || role == CSM_ROLE_ACOUSTIC_PROJECTION;
}

static bool is_norm(enum csm_role role)
{
    return role == CSM_ROLE_ATTENTION_NORM || role == CSM_ROLE_MLP_NORM ||
           role == CSM_ROLE_FINAL_NORM;
}

/* The tensor of a role under its name; a tied table under either of its names
 * (where both are there, the depth decoder's, as transformers does). */
static const csm_tensor *look_up(const struct csm_checkpoint *checkpoint,
                                 const struct csm_place *place, enum csm_part part,
                                 enum csm_role role, size_t index, char name[CSM_NAME_MAX],
                                 const char **file)
{
    const struct csm_codec_config *codec = &checkpoint->config.codec;
    const csm_tensor *tensor = NULL;
    if (role == CSM_ROLE_AUDIO_TABLE && checkpoint->config.has_tied_tables) {
        if (csm_layout_name(place, CSM_DEPTH, role, 0, codec, name))
            tensor = csm_weights_find(place->weights, name, file);
        part = CSM_BACKBONE;
    }
    if (tensor == NULL && csm_layout_name(place, part, role, index, codec, name))
        tensor = csm_weights_find(place->weights, name, file);
    return tensor;
}

csm_status csm_checkpoint_find(const struct csm_checkpoint *checkpoint, enum csm_part part,
                               enum csm_role role, size_t index, struct csm_weight_source *source,
                               csm_error *err)
{
    const struct csm_config *config = &checkpoint->config;
    const struct csm_place *place = is_codec(part) ? &checkpoint->codec : &checkpoint->language;
    if (place->layout == CSM_LAYOUT_NONE)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: holds no %s", checkpoint->directory,
                        is_codec(part) ? "codec" : "language model");
    if (index >= csm_role_count(config, part, role))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no weight of role %d, index %zu in part %d",
                        checkpoint->directory, (int)role, index, (int)part);

    memset(source, 0, sizeof *source);
    source->exact = is_codec(part) || is_norm(role);
    source->is_sound = part == CSM_DECODER;
    struct shape shape = shape_of(config, part, role, index);
    const bool is_fused = place->layout == CSM_LAYOUT_KYUTAI && role >= CSM_ROLE_Q &&
                          role <= CSM_ROLE_V;
    if (is_fused)
        shape = shape2((config->codec.transformer.n_heads +
                        2 * config->codec.transformer.n_kv_heads) *
                           config->codec.transformer.head_dim,
                       config->codec.transformer.width);

    if (checkpoint->random != NULL) {
        const bool is_head = part == CSM_DEPTH && role == CSM_ROLE_HEAD;
        source->transposed = is_head;
        source->tensor.rank = is_head || is_projection(role) ? 2 : shape.rank;
        memcpy(source->tensor.shape, shape.size + is_head,
               source->tensor.rank * sizeof *shape.size);
        csm_random_tensor(checkpoint->random, part, role, index, &source->tensor);
        return CSM_OK;
    }

    char name[CSM_NAME_MAX] = "";
    const char *file = csm_weights_name(place->weights);
    const csm_tensor *tensor = look_up(checkpoint, place, part, role, index, name, &file);
    if (tensor == NULL && is_projection(role) && checkpoint->identity != NULL) {
        source->tensor = (csm_tensor){.name = "identity",
                                      .dtype = CSM_F32,
                                      .rank = 2,
                                      .shape = {shape.size[0], shape.size[1]},
                                      .data = checkpoint->identity,
                                      .n_bytes = shape.size[0] * shape.size[1] * sizeof(float)};
        return CSM_OK;
    }
    if (tensor == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: missing, expected %s (%s)", name,
                        shape_text(shape.size, shape.rank).text, file);
    source->tensor = *tensor;

    if (tensor->dtype == CSM_U32 && !is_codec(part) && shape.rank >= 2) {
        csm_status status = find_quantized(checkpoint, place, file, shape, source, err);
        if (status != CSM_OK)
            return status;
    } else {
        if (!is_float(tensor->dtype))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: dtype %s, expected F32, F16 or BF16 (%s)",
                            name, csm_dtype_name(tensor->dtype), file);
        if (!has_shape(tensor, &shape))
            return refuse_shape(tensor, &shape, file, err);
    }

    if (is_fused)
        take_fused(&source->tensor, &config->codec.transformer, role);
    if (is_projection(role))
        source->tensor.rank = 2;
    if (part == CSM_DEPTH && role == CSM_ROLE_HEAD) {
        take_slice(&source->tensor, index);
        take_slice(&source->scales, index);
        take_slice(&source->biases, index);
        source->transposed = source->format == CSM_WEIGHT_FLOAT;
    }
    return CSM_OK;
}
