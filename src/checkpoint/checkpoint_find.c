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
#include "base/numbers.h"
#include "checkpoint/checkpoint_parts.h"

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

csm_status csm_refuse_shape(const csm_tensor *tensor, const struct csm_shape *expected,
                            const char *file, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FORMAT, "%s: shape %s, expected %s (%s)", tensor->name,
                    shape_text(tensor->shape, tensor->rank).text,
                    shape_text(expected->size, expected->rank).text, file);
}

bool csm_dtype_is_weight(csm_dtype dtype)
{
    return csm_is_float(dtype) && dtype != CSM_DTYPE_F64;
}

bool csm_has_shape(const csm_tensor *tensor, const struct csm_shape *shape)
{
    return tensor->rank == shape->rank &&
           memcmp(tensor->shape, shape->size, shape->rank * sizeof *shape->size) == 0;
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

/* Whether the role is some rows of a tensor that holds q, k and v. */
static bool is_fused(const struct csm_place *place, enum csm_role role)
{
    return place->layout == CSM_LAYOUT_KYUTAI && role >= CSM_ROLE_Q && role <= CSM_ROLE_V;
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

/* The tensor of a role under its name; a tied table under either of its names. */
static struct csm_set_tensor *look_up(const struct csm_checkpoint *checkpoint,
                                      const struct csm_place *place, enum csm_part part,
                                      enum csm_role role, size_t index, char name[CSM_NAME_MAX])
{
    const struct csm_codec_config *codec = &checkpoint->config.codec;
    struct csm_set_tensor *found = NULL;
    if (role == CSM_ROLE_AUDIO_TABLE && checkpoint->config.has_tied_tables) {
        if (csm_layout_name(place, CSM_DEPTH, role, 0, codec, name))
            found = csm_tensor_set_find(place->set, name);
        part = CSM_BACKBONE;
    }
    if (found == NULL && csm_layout_name(place, part, role, index, codec, name))
        found = csm_tensor_set_find(place->set, name);
    if (found == NULL && role == CSM_ROLE_AUDIO_TABLE && checkpoint->has_one_table) {
        const enum csm_part other = part == CSM_DEPTH ? CSM_BACKBONE : CSM_DEPTH;
        if (csm_layout_name(place, other, role, 0, codec, name))
            found = csm_tensor_set_find(place->set, name);
    }
    return found;
}

/* The shape of the tensor that a role is stored in: kyutai's q, k and v are rows of
 * one matrix. */
static struct csm_shape stored_shape(const struct csm_config *config,
                                     const struct csm_place *place, enum csm_part part,
                                     enum csm_role role, size_t index)
{
    const struct csm_transformer_config *t = &config->codec.transformer;
    if (is_fused(place, role))
        return (struct csm_shape){2, {(t->n_heads + 2 * t->n_kv_heads) * t->head_dim, t->width}};
    return csm_role_shape(config, part, role, index);
}

csm_status csm_find_stored(const struct csm_checkpoint *checkpoint, enum csm_part part,
                           enum csm_role role, size_t index, struct csm_weight_source *source,
                           struct csm_set_tensor *used[CSM_MAX_USED], csm_error *err)
{
    const struct csm_config *config = &checkpoint->config;
    const bool is_codec = csm_part_is_codec(part);
    const struct csm_place *place = is_codec ? &checkpoint->codec : &checkpoint->language;
    for (size_t i = 0; i < CSM_MAX_USED; i++)
        used[i] = NULL;
    if (place->layout == CSM_LAYOUT_NONE)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: holds no %s", checkpoint->directory,
                        is_codec ? "codec" : "language model");
    if (index >= csm_role_count(config, part, role))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no weight of role %d, index %zu in part %d",
                        checkpoint->directory, (int)role, index, (int)part);

    memset(source, 0, sizeof *source);
    source->exact = is_codec || is_norm(role);
    source->is_sound = part == CSM_DECODER;
    source->is_of_encoder = part == CSM_ENCODER;
    const struct csm_shape shape = stored_shape(config, place, part, role, index);
    char name[CSM_NAME_MAX] = "";
    struct csm_set_tensor *found = look_up(checkpoint, place, part, role, index, name);
    if (found == NULL && is_projection(role) && checkpoint->identity != NULL) {
        source->tensor = (csm_tensor){.name = "identity",
                                      .dtype = CSM_DTYPE_F32,
                                      .rank = 2,
                                      .shape = {shape.size[0], shape.size[1]},
                                      .data = checkpoint->identity,
                                      .n_bytes = shape.size[0] * shape.size[1] * sizeof(float)};
        return CSM_OK;
    }
    if (found == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: missing, expected %s (%s)", name,
                        shape_text(shape.size, shape.rank).text, place->set->name);
    const csm_tensor *tensor = &found->tensor;
    used[0] = found;
    source->tensor = *tensor;
    source->format = found->format;

    if (tensor->dtype == CSM_DTYPE_U32 && !is_codec && shape.rank >= 2) {
        csm_status status = csm_find_mlx_quantized(checkpoint, place, shape, source, used, err);
        if (status != CSM_OK)
            return status;
    } else {
        if (!csm_dtype_is_weight(tensor->dtype))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: dtype %s, expected F32, F16 or BF16 (%s)",
                            tensor->name, csm_dtype_name(tensor->dtype), found->file);
        if (!csm_has_shape(tensor, &shape))
            return csm_refuse_shape(tensor, &shape, found->file, err);
    }

    if (is_fused(place, role))
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

csm_status csm_checkpoint_find(const struct csm_checkpoint *checkpoint, enum csm_part part,
                               enum csm_role role, size_t index, struct csm_weight_source *source,
                               csm_error *err)
{
    struct csm_set_tensor *used[CSM_MAX_USED];
    csm_status st = csm_find_stored(checkpoint, part, role, index, source, used, err);
    const struct csm_patch *patch =
        st == CSM_OK ? csm_adapters_find(&checkpoint->adapters, part, role, index) : NULL;
    if (patch == NULL || patch->merger == NULL)
        return st;
    source->format = CSM_WEIGHT_FLOAT;
    source->bits = source->group_size = 0;
    source->scales = source->biases = (csm_tensor){0};
    if (patch->merged.data != NULL)
        source->tensor = patch->merged;
    else
        source->made = csm_patch_rows(patch, &source->tensor);
    return CSM_OK;
}

csm_status csm_checkpoint_find_whole(const struct csm_checkpoint *checkpoint, enum csm_part part,
                                     enum csm_role role, size_t index,
                                     struct csm_weight_source *source, csm_error *err)
{
    struct csm_adapters *adapters = (struct csm_adapters *)&checkpoint->adapters;
    csm_status st = csm_checkpoint_find(checkpoint, part, role, index, source, err);
    if (st == CSM_OK && source->made != NULL)
        st = csm_patch_merge(adapters, csm_adapters_find(adapters, part, role, index), checkpoint,
                             err);
    return st == CSM_OK && source->made != NULL
               ? csm_checkpoint_find(checkpoint, part, role, index, source, err)
               : st;
}
