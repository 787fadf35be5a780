/* SPDX-License-Identifier: Apache-2.0
 *
 * native_block.c - norms and feed-forward blocks. */
#include "engine/native/native.h"

#include "base/error.h"

struct norm_job {
    const struct kernels *kernels;
    const struct csm_norm *norm;
    const float *x;
    size_t width;
    float *out;
};

static void norm_work(void *user, size_t first, size_t end, int thread)
{
    const struct norm_job *job = user;
    const struct csm_norm *norm = job->norm;
    (void)thread;
    for (size_t r = first; r < end; r++) {
        const float *x = job->x + r * job->width;
        float *out = job->out + r * job->width;
        if (norm->kind == CSM_NORM_RMS)
            job->kernels->norm_rms(x, norm->scale->vector, job->width, norm->eps, out);
        else
            job->kernels->norm_layer(x, norm->scale->vector, norm->bias->vector, job->width,
                                     norm->eps, out);
    }
}

csm_status csm_native_norm_rows(struct native *native, const struct csm_norm *norm, const float *x,
                            size_t rows, size_t width, float *out, csm_error *err)
{
    if (norm->scale->vector == NULL || norm->scale->rows != width ||
        (norm->kind == CSM_NORM_LAYER && (norm->bias == NULL || norm->bias->rows != width)))
        return csm_fail(err, CSM_BAD_ARG, "native: %s: norm of %zu values for a width of %zu",
                        norm->scale->source.tensor.name, norm->scale->rows, width);
    struct norm_job job = {native->kernels, norm, x, width, out};
    csm_threads_run(native->threads, norm_work, &job, rows, 4);
    return CSM_OK;
}

csm_status csm_native_mlp(void *ctx, const struct csm_mlp *block, csm_value *x, csm_error *err)
{
    struct native *native = ctx;
    size_t rows = x->rows, width = block->width, hidden = block->hidden;
    bool gated = block->gate != NULL;
    csm_weight *const weights[] = {block->up, block->down, gated ? block->gate : block->up};
    for (size_t i = 0; i < 3; i++) {
        csm_status st = csm_native_weight_prepare(native, weights[i], err);
        if (st != CSM_OK)
            return st;
    }
    if (x->cols != width || block->up->rows != hidden || block->up->cols != width ||
        block->down->rows != width || block->down->cols != hidden)
        return csm_fail(err, CSM_BAD_ARG, "native: %s: [%zu, %zu] in a block of %zu and %zu",
                        block->up->source.tensor.name, block->up->rows, block->up->cols, width,
                        hidden);

    float *normed, *a, *b = NULL, *product;
    csm_status st = csm_native_scratch(native, SCRATCH_NORMED, rows * width, &normed, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_A, rows * hidden, &a, err);
    if (st == CSM_OK && gated)
        st = csm_native_scratch(native, SCRATCH_B, rows * hidden, &b, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, SCRATCH_PRODUCT, rows * width, &product, err);
    if (st == CSM_OK)
        st = csm_native_norm_rows(native, &block->norm, csm_native_data(x), rows, width, normed, err);
    if (st != CSM_OK)
        return st;

    const size_t *adapters = csm_native_adapters_of(x); /* as attention before had them */
    struct finishing activation = {.kind = gated ? FINISH_GATED : FINISH_GELU};
    struct affine_rows affine;
    if (block->down->form == FORM_AFFINE) {
        st = csm_native_affine_room(native, SCRATCH_NEXT_PLANES, rows, hidden,
                                    (size_t)block->down->tiles.group,
                                    csm_native_wants_tiles(native, block->down, rows), &affine,
                                    err);
        if (st != CSM_OK)
            return st;
        activation.affine = &affine;
    }
    struct product up[2] = {{.weight = weights[2], .out = a, .ld_out = hidden},
                            {.weight = block->up, .out = b, .ld_out = hidden}};
    st = csm_native_product(native, up, gated ? 2 : 1, activation,
                        (struct rows){.values = normed, .ld = width, .n = rows,
                                      .adapters = adapters},
                        err);
    if (st != CSM_OK)
        return st;
    struct product down = {.weight = block->down, .out = product, .ld_out = width};
    struct finishing residual = {
        .kind = FINISH_RESIDUAL,
        .residual = csm_native_data(x),
        .layer_scale = block->layer_scale == NULL ? NULL : block->layer_scale->vector};
    return csm_native_product(native, &down, 1, residual,
                          (struct rows){a, hidden, rows, activation.affine, adapters}, err);
}
