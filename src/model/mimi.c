/* SPDX-License-Identifier: Apache-2.0 */
#include "model/mimi.h"

#include <stdlib.h>

#include "base/error.h"

/* A convolution of SEANet with its bias. */
static csm_status bind_conv(struct csm_binder *binder, enum csm_part part, enum csm_role role,
                            size_t index, struct csm_conv shape, struct csm_conv *out,
                            csm_error *err)
{
    *out = shape;
    if (out->groups == 0)
        out->groups = 1;
    if (out->dilation == 0)
        out->dilation = 1;
    csm_status st = csm_bind(binder, part, role, index, &out->weight, err);
    if (st == CSM_OK && role != CSM_ROLE_RESAMPLE)
        st = csm_bind(binder, part, (enum csm_role)(role + 1), index, &out->bias, err);
    return st;
}

/* x + conv(elu(dilated conv(elu(x)))), `channels` wide; rows_at_once of csm_conv. */
static csm_status bind_block(struct csm_binder *binder, enum csm_part part,
                             const struct csm_codec_config *c, size_t stage, size_t block,
                             size_t channels, size_t rows_at_once,
                             struct csm_seanet_step *step, csm_error *err)
{
    size_t inner = channels / c->compress;
    size_t dilation = 1;
    for (size_t j = 0; j < block; j++)
        dilation *= c->dilation_growth;
    size_t index = stage * c->n_residual_layers + block;
    step->is_residual = true;
    csm_status st = bind_conv(binder, part, CSM_ROLE_RESIDUAL_1, index,
                              (struct csm_conv){.in = channels,
                                                .out = inner,
                                                .kernel = c->residual_kernel,
                                                .stride = 1,
                                                .dilation = dilation,
                                                .elu = true,
                                                .rows_at_once = rows_at_once},
                              &step->conv, err);
    if (st == CSM_OK)
        st = bind_conv(
            binder, part, CSM_ROLE_RESIDUAL_2, index,
            (struct csm_conv){.in = inner, .out = channels, .kernel = 1, .stride = 1, .elu = true},
            &step->second, err);
    return st;
}

/* in, (blocks, down) for each ratio from the last, out */
static csm_status bind_encoder(struct csm_binder *binder, const struct csm_codec_config *c,
                               struct csm_seanet *net, csm_error *err)
{
    size_t channels = c->n_filters;
    csm_status st = csm_seanet_new(net, 2 + c->n_ratios * (c->n_residual_layers + 1), err);
    struct csm_seanet_step *step = net->steps;
    if (st == CSM_OK)
        st = bind_conv(
            binder, CSM_ENCODER, CSM_ROLE_CONV_IN, 0,
            (struct csm_conv){.in = 1, .out = channels, .kernel = c->kernel, .stride = 1},
            &(step++)->conv, err);
    for (size_t s = 0; st == CSM_OK && s < c->n_ratios; s++) {
        size_t ratio = c->ratios[c->n_ratios - 1 - s];
        for (size_t j = 0; st == CSM_OK && j < c->n_residual_layers; j++)
            st = bind_block(binder, CSM_ENCODER, c, s, j, channels, 0, step++, err);
        if (st == CSM_OK)
            st = bind_conv(binder, CSM_ENCODER, CSM_ROLE_STRIDED, s,
                           (struct csm_conv){.in = channels,
                                             .out = 2 * channels,
                                             .kernel = 2 * ratio,
                                             .stride = ratio,
                                             .elu = true},
                           &(step++)->conv, err);
        channels *= 2;
    }
    if (st == CSM_OK)
        st = bind_conv(binder, CSM_ENCODER, CSM_ROLE_CONV_OUT, 0,
                       (struct csm_conv){.in = channels,
                                         .out = c->width,
                                         .kernel = c->last_kernel,
                                         .stride = 1,
                                         .elu = true},
                       &step->conv, err);
    return st;
}

/* in, (up, blocks) for each ratio from the first, out */
static csm_status bind_decoder(struct csm_binder *binder, const struct csm_codec_config *c,
                               struct csm_seanet *net, csm_error *err)
{
    size_t channels = c->n_filters << c->n_ratios;
    size_t rows = 2; /* of a frame, after the upsampling */
    csm_status st = csm_seanet_new(net, 2 + c->n_ratios * (c->n_residual_layers + 1), err);
    struct csm_seanet_step *step = net->steps;
    if (st == CSM_OK)
        st = bind_conv(
            binder, CSM_DECODER, CSM_ROLE_CONV_IN, 0,
            (struct csm_conv){.in = c->width, .out = channels, .kernel = c->kernel, .stride = 1},
            &(step++)->conv, err);
    for (size_t s = 0; st == CSM_OK && s < c->n_ratios; s++) {
        st = bind_conv(binder, CSM_DECODER, CSM_ROLE_STRIDED, s,
                       (struct csm_conv){.in = channels,
                                         .out = channels / 2,
                                         .kernel = 2 * c->ratios[s],
                                         .stride = c->ratios[s],
                                         .transposed = true,
                                         .elu = true,
                                         .rows_at_once = rows},
                       &(step++)->conv, err);
        channels /= 2;
        rows *= c->ratios[s];
        for (size_t j = 0; st == CSM_OK && j < c->n_residual_layers; j++)
            st = bind_block(binder, CSM_DECODER, c, s, j, channels, rows, step++, err);
    }
    if (st == CSM_OK)
        st = bind_conv(
            binder, CSM_DECODER, CSM_ROLE_CONV_OUT, 0,
            (struct csm_conv){
                .in = channels, .out = 1, .kernel = c->last_kernel, .stride = 1, .elu = true},
            &step->conv, err);
    return st;
}

/* An entry is embed_sum / max(cluster_usage, 1e-5): sums of training. */
static csm_status load_codebook(const csm_checkpoint *checkpoint, size_t codebook, size_t n_entries,
                                size_t dim, float *vectors, csm_error *err)
{
    struct csm_weight_source sums, usage;
    csm_status st =
        csm_checkpoint_find(checkpoint, CSM_DECODER, CSM_ROLE_EMBED_SUM, codebook, &sums, err);
    if (st == CSM_OK)
        st = csm_checkpoint_find(checkpoint, CSM_DECODER, CSM_ROLE_CLUSTER_USAGE, codebook, &usage,
                                 err);
    float *counts = st == CSM_OK ? malloc(n_entries * sizeof *counts) : NULL;
    if (st != CSM_OK)
        return st;
    if (counts == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: a codebook of %zu", n_entries);
    (void)csm_tensor_floats(&sums.tensor, 0, n_entries * dim, vectors);
    (void)csm_tensor_floats(&usage.tensor, 0, n_entries, counts);
    for (size_t e = 0; e < n_entries; e++) {
        float count = counts[e] > 1e-5f ? counts[e] : 1e-5f;
        for (size_t d = 0; d < dim; d++)
            vectors[e * dim + d] /= count;
    }
    free(counts);
    return CSM_OK;
}

/* Codebooks first..first+n-1 of the file as one branch. */
static csm_status bind_branch(struct csm_mimi *mimi, enum csm_role projection, size_t first,
                              size_t n, struct csm_rvq *rvq, csm_error *err)
{
    size_t rows = n * mimi->n_entries + 1;
    rvq->n_codebooks = n;
    rvq->n_entries = mimi->n_entries;
    rvq->dim = mimi->dim;
    rvq->vectors = calloc(rows * mimi->dim, sizeof *rvq->vectors);
    if (rvq->vectors == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: %zu codebooks of %zu", n, mimi->n_entries);
    csm_status st = CSM_OK;
    for (size_t k = 0; st == CSM_OK && k < n; k++)
        st = load_codebook(mimi->binder.checkpoint, first + k, mimi->n_entries, mimi->dim,
                           rvq->vectors + k * mimi->n_entries * mimi->dim, err);
    const struct csm_weight_source table = {
        .tensor = {.name = "codebooks",
                   .dtype = CSM_DTYPE_F32,
                   .rank = 2,
                   .shape = {rows, mimi->dim},
                   .data = rvq->vectors,
                   .n_bytes = rows * mimi->dim * sizeof *rvq->vectors},
        .exact = true,
    };
    if (st == CSM_OK)
        st = csm_bind_source(&mimi->binder, &table, &rvq->table, err);
    if (st == CSM_OK)
        st = csm_bind(&mimi->binder, CSM_ENCODER, projection, 0, &rvq->into, err);
    if (st == CSM_OK)
        st = csm_bind(&mimi->binder, CSM_DECODER, projection, 0, &rvq->out, err);
    return st;
}

csm_status csm_mimi_open(struct csm_mimi *mimi, const struct csm_engine *engine,
                         const csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_codec_config *c = &csm_checkpoint_config(checkpoint)->codec;
    struct csm_binder *binder = &mimi->binder;
    *mimi = (struct csm_mimi){.engine = engine,
                              .binder = {.engine = engine, .checkpoint = checkpoint},
                              .n_codebooks = c->n_codebooks,
                              .n_entries = c->n_entries,
                              .dim = c->dim,
                              .width = c->width,
                              .frame_samples = c->frame_samples};
    const struct csm_conv resample = {
        .in = c->width, .out = c->width, .kernel = 4, .stride = 2, .groups = 1, .dilation = 1};

    csm_status st =
        bind_branch(mimi, CSM_ROLE_SEMANTIC_PROJECTION, 0, c->n_semantic, &mimi->semantic, err);
    if (st == CSM_OK)
        st = bind_branch(mimi, CSM_ROLE_ACOUSTIC_PROJECTION, c->n_semantic,
                         c->n_codebooks - c->n_semantic, &mimi->acoustic, err);
    if (st == CSM_OK)
        st = bind_conv(binder, CSM_ENCODER, CSM_ROLE_RESAMPLE, 0, resample, &mimi->down, err);
    mimi->down.replicate = true;
    if (st == CSM_OK)
        st = bind_conv(binder, CSM_DECODER, CSM_ROLE_RESAMPLE, 0, resample, &mimi->up, err);
    mimi->up.transposed = true;
    mimi->up.groups = c->upsample_groups;
    if (st == CSM_OK)
        st = csm_bind_stack(binder, CSM_ENCODER, &c->transformer, &mimi->encoder_stack, err);
    if (st == CSM_OK)
        st = csm_bind_stack(binder, CSM_DECODER, &c->transformer, &mimi->decoder_stack, err);
    if (st == CSM_OK)
        st = bind_encoder(binder, c, &mimi->encoder, err);
    if (st == CSM_OK)
        st = bind_decoder(binder, c, &mimi->decoder, err);
    return st;
}

void csm_mimi_close(struct csm_mimi *mimi)
{
    csm_mimi_works_close(mimi);
    csm_binder_free(&mimi->binder);
    free(mimi->semantic.vectors);
    free(mimi->acoustic.vectors);
    csm_stack_free(&mimi->encoder_stack);
    csm_stack_free(&mimi->decoder_stack);
    csm_seanet_free(&mimi->encoder);
    csm_seanet_free(&mimi->decoder);
    *mimi = (struct csm_mimi){0};
}
