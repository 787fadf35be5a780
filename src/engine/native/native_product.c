/* SPDX-License-Identifier: Apache-2.0
 *
 * native_product.c - matrices times rows, in parallel over tiles of 16 matrix
 * rows. What follows a product (activation, residual) is done on each tile by
 * the thread that made it, so that a block has one barrier for each product. */
#include "engine/native/native.h"

#include "base/error.h"

struct job {
    struct native *native;
    const struct product *products;
    size_t n_products;
    struct finishing finishing;
    const float *x;
    size_t ld_x, n_x;
    struct digits digits;
};

static size_t rows_of(const struct product *p)
{
    return p->weight->rows;
}

static size_t cols_of(const struct product *p)
{
    return p->weight->cols;
}

static size_t tiles_of(const struct product *p)
{
    return (rows_of(p) + CSM_TILE - 1) / CSM_TILE;
}

static bool is_affine(const struct product *p)
{
    return p->weight->form == FORM_AFFINE;
}

/* Rows first.. of one matrix. */
static void dots(const struct job *job, const struct product *p, size_t first, size_t n_rows)
{
    const struct kernels *k = job->native->kernels;
    size_t cols = cols_of(p), at = csm_row_at(CSM_FOUR_ROWS, first, cols);
    float *out = p->out + first;
    const csm_weight *w = p->weight;
    if (w->form == FORM_F32)
        k->dots_f32((const float *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x, job->ld_x,
                    job->n_x, out, p->ld_out);
    else if (w->form == FORM_BF16)
        k->dots_bf16((const uint16_t *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x, job->ld_x,
                     job->n_x, out, p->ld_out);
    else if (w->form == FORM_F16)
        k->dots_f16((const uint16_t *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x, job->ld_x,
                    job->n_x, out, p->ld_out);
    else if (w->form == FORM_COLUMNS)
        k->dots_tiles(&w->columns, first / CSM_TILE, n_rows, NULL, job->x, job->ld_x, job->n_x, out,
                      p->ld_out);
    else
        k->dots_affine(&w->tiles, first / CSM_TILE, n_rows, &job->digits, job->n_x, out,
                       p->ld_out);
    if (p->bias != NULL)
        for (size_t t = 0; t < job->n_x; t++)
            for (size_t r = 0; r < n_rows; r++)
                out[t * p->ld_out + r] += p->bias[first + r];
}

static void finish(const struct job *job, const struct product *p, size_t first, size_t n_rows)
{
    const struct kernels *k = job->native->kernels;
    for (size_t t = 0; t < job->n_x; t++) {
        float *out = p->out + t * p->ld_out + first;
        switch (job->finishing.kind) {
        case FINISH_STORE:
            return;
        case FINISH_GATED:
            k->silu_times(out, p[1].out + t * p[1].ld_out + first, n_rows);
            break;
        case FINISH_GELU:
            k->gelu(out, n_rows);
            break;
        case FINISH_RESIDUAL: {
            float *sum = job->finishing.residual + t * p->ld_out + first;
            const float *scale = job->finishing.layer_scale;
            for (size_t r = 0; r < n_rows; r++)
                sum[r] += scale == NULL ? out[r] : scale[first + r] * out[r];
            break;
        }
        }
    }
}

/* Items are tiles, those of the first matrix before those of the second; gated,
 * an item is a tile of both. */
static void work(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    (void)thread;
    bool gated = job->finishing.kind == FINISH_GATED;
    for (const struct product *p = job->products; first < end; p++) {
        size_t n_tiles = tiles_of(p);
        if (first < n_tiles) {
            size_t to = end < n_tiles ? end : n_tiles;
            size_t row = first * CSM_TILE;
            size_t n_rows = (to * CSM_TILE < rows_of(p) ? to * CSM_TILE : rows_of(p)) - row;
            dots(job, p, row, n_rows);
            if (gated)
                dots(job, p + 1, row, n_rows);
            finish(job, p, row, n_rows);
            first = to;
        }
        first -= n_tiles < first ? n_tiles : first;
        end -= n_tiles < end ? n_tiles : end;
    }
}

struct digits_job {
    struct native *native;
    const float *x;
    size_t ld_x, n_groups, group;
    struct digits out;
};

static void digits_work(void *user, size_t first, size_t end, int thread)
{
    const struct digits_job *job = user;
    (void)thread;
    for (size_t t = first; t < end; t++) {
        size_t at = t * job->n_groups;
        job->native->kernels->to_digits(job->x + t * job->ld_x, job->n_groups, job->group,
                                        job->out.planes + at * CSM_PLANES * job->group,
                                        job->out.steps + at, job->out.sums + at);
    }
}

static csm_status make_digits(struct native *native, const float *x, size_t ld_x, size_t n_x,
                              size_t cols, size_t group, struct digits *out, csm_error *err)
{
    float *planes;
    size_t n_groups = cols / group;
    csm_status st =
        native_scratch(native, SCRATCH_PLANES, n_x * cols * CSM_PLANES / 4 + 1, &planes, err);
    if (st == CSM_OK)
        st = native_scratch(native, SCRATCH_STEPS, n_x * n_groups, &out->steps, err);
    if (st == CSM_OK)
        st = native_scratch(native, SCRATCH_SUMS, n_x * n_groups, &out->sums, err);
    if (st != CSM_OK)
        return st;
    out->planes = (int8_t *)planes;
    struct digits_job job = {native, x, ld_x, n_groups, group, *out};
    csm_threads_run(native->threads, digits_work, &job, n_x, 4);
    return CSM_OK;
}

csm_status native_product(struct native *native, const struct product *products, size_t n_products,
                          struct finishing finishing, const float *x, size_t ld_x, size_t n_x,
                          csm_error *err)
{
    struct job job = {native, products, n_products, finishing, x, ld_x, n_x, {0}};
    size_t group = 0, n_tiles = 0;
    for (size_t i = 0; i < n_products; i++) {
        const struct product *p = &products[i];
        if (cols_of(p) != cols_of(products))
            return csm_fail(err, CSM_BAD_ARG, "native: one input for matrices of %zu and %zu columns",
                            cols_of(products), cols_of(p));
        n_tiles += tiles_of(p);
        if (is_affine(p)) {
            if (group != 0 && group != (size_t)p->weight->tiles.group)
                return csm_fail(err, CSM_BAD_ARG,
                                "native: %s: group %d beside a matrix of group %zu",
                                p->weight->source.tensor.name, p->weight->tiles.group, group);
            group = (size_t)p->weight->tiles.group;
        }
    }
    if (finishing.kind == FINISH_GATED) {
        if (n_products != 2 || rows_of(products) != rows_of(products + 1))
            return csm_fail(err, CSM_BAD_ARG, "native: gate and up of different shapes");
        n_tiles = tiles_of(products);
    }
    if (n_x == 0)
        return CSM_OK;
    if (group != 0) {
        csm_status st =
            make_digits(native, x, ld_x, n_x, cols_of(products), group, &job.digits, err);
        if (st != CSM_OK)
            return st;
    }
    csm_threads_run(native->threads, work, &job, n_tiles, 1);
    return CSM_OK;
}
