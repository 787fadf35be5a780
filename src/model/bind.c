/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bind.h"

#include <stdlib.h>

#include "base/error.h"

void csm_binder_free(struct csm_binder *binder)
{
    for (size_t i = 0; i < binder->n; i++)
        binder->engine->ops->weight_free(binder->engine->ctx, binder->weights[i]);
    free(binder->weights);
    *binder = (struct csm_binder){0};
}

csm_status csm_bind_source(struct csm_binder *binder, const struct csm_weight_source *source,
                           csm_weight **out, csm_error *err)
{
    if (binder->n == binder->room) {
        size_t room = binder->room == 0 ? 256 : 2 * binder->room;
        csm_weight **grown = realloc(binder->weights, room * sizeof(csm_weight *));
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "model: a list of %zu weights", room);
        binder->weights = grown;
        binder->room = room;
    }
    csm_status st = binder->engine->ops->weight_new(binder->engine->ctx, source, out, err);
    if (st == CSM_OK)
        binder->weights[binder->n++] = *out;
    return st;
}

csm_status csm_bind(struct csm_binder *binder, enum csm_part part, enum csm_role role, size_t index,
                    csm_weight **out, csm_error *err)
{
    const struct csm_engine *engine = binder->engine;
    struct csm_weight_source source;
    csm_status st = engine->ops->traits(engine->ctx)->made_rows
                        ? csm_checkpoint_find(binder->checkpoint, part, role, index, &source, err)
                        : csm_checkpoint_find_whole(binder->checkpoint, part, role, index, &source,
                                                    err);
    source.is_copied = csm_checkpoint_describe(binder->checkpoint).layout != CSM_LAYOUT_HF;
    source.is_table = role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
    source.to_bits = binder->to_bits;
    if (st == CSM_OK)
        st = csm_bind_source(binder, &source, out, err);
    return st;
}

/* What a layer is made of: roles and where their weights go. */
static csm_status bind_layer(struct csm_binder *binder, enum csm_part part, size_t layer,
                             struct csm_attention *a, struct csm_mlp *m, csm_error *err)
{
    bool is_codec = part == CSM_ENCODER || part == CSM_DECODER;
    const struct {
        enum csm_role role;
        csm_weight **to;
        bool is_wanted;
    } parts[] = {
        {CSM_ROLE_ATTENTION_NORM, &a->norm.scale, true},
        {CSM_ROLE_ATTENTION_NORM_BIAS, &a->norm.bias, is_codec},
        {CSM_ROLE_Q, &a->q, true},
        {CSM_ROLE_K, &a->k, true},
        {CSM_ROLE_V, &a->v, true},
        {CSM_ROLE_O, &a->o, true},
        {CSM_ROLE_ATTENTION_SCALE, &a->layer_scale, is_codec},
        {CSM_ROLE_MLP_NORM, &m->norm.scale, true},
        {CSM_ROLE_MLP_NORM_BIAS, &m->norm.bias, is_codec},
        {CSM_ROLE_GATE, &m->gate, !is_codec},
        {CSM_ROLE_UP, &m->up, true},
        {CSM_ROLE_DOWN, &m->down, true},
        {CSM_ROLE_MLP_SCALE, &m->layer_scale, is_codec},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i].is_wanted)
            continue;
        csm_status st = csm_bind(binder, part, parts[i].role, layer, parts[i].to, err);
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}

csm_status csm_bind_stack(struct csm_binder *binder, enum csm_part part,
                          const struct csm_transformer_config *config, struct csm_stack *stack,
                          csm_error *err)
{
    bool is_codec = part == CSM_ENCODER || part == CSM_DECODER;
    struct csm_norm norm = {.kind = is_codec ? CSM_NORM_LAYER : CSM_NORM_RMS,
                            .eps = (float)config->norm_eps};
    csm_status st = csm_stack_new(stack, config->n_layers, err);
    for (size_t l = 0; st == CSM_OK && l < config->n_layers; l++) {
        stack->attention[l] = (struct csm_attention){.norm = norm,
                                                     .width = config->width,
                                                     .n_heads = config->n_heads,
                                                     .n_kv_heads = config->n_kv_heads,
                                                     .head_dim = config->head_dim,
                                                     .window = config->window,
                                                     .rope = config->rope};
        stack->mlp[l] =
            (struct csm_mlp){.norm = norm, .width = config->width, .hidden = config->hidden};
        st = bind_layer(binder, part, l, &stack->attention[l], &stack->mlp[l], err);
    }
    stack->norm = norm;
    if (st == CSM_OK && !is_codec)
        st = csm_bind(binder, part, CSM_ROLE_FINAL_NORM, 0, &stack->norm.scale, err);
    return st;
}
