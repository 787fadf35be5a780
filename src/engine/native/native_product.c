/* SPDX-License-Identifier: Apache-2.0
 *
 * native_product.c - matrices times rows, in parallel over tiles of 16 matrix
 * rows. What follows a product (activation, residual) is done on each tile by
 * the thread that made it, so that a block has one barrier for each product. */
#include "engine/native/native.h"

#include "base/error.h"

#include <string.h>

enum { MANY_ROWS = 16, MOST_TILES = 8, PAIR = 2 };

struct job {
    struct native *native;
    const struct product *products;
    size_t n_products;
    struct finishing finishing;
    struct rows x;
    const struct affine_rows *own; /* one row: of each thread, which makes it when it begins */
    uint64_t turn;                 /* of `own` */
    size_t n_each, n_tiles;        /* tiles of an item; of all */
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
static void dots(const struct job *job, const struct product *p, const struct digits *x, size_t first,
                 size_t n_rows)
{
    const struct kernels *k = job->native->kernels;
    size_t cols = cols_of(p), at = csm_row_at(CSM_FOUR_ROWS, first, cols);
    float *out = p->out + first;
    const csm_weight *w = p->weight;
    if (w->form == FORM_F32)
        k->dots_f32((const float *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x.values, job->x.ld,
                    job->x.n, out, p->ld_out);
    else if (w->form == FORM_BF16)
        k->dots_bf16((const uint16_t *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x.values, job->x.ld,
                     job->x.n, out, p->ld_out);
    else if (w->form == FORM_F16)
        k->dots_f16((const uint16_t *)w->data + at, CSM_FOUR_ROWS, n_rows, cols, job->x.values, job->x.ld,
                    job->x.n, out, p->ld_out);
    else if (w->form == FORM_E4M3)
        k->dots_e4m3(&w->e4m3, first / CSM_TILE, n_rows, job->x.values, job->x.ld, job->x.n, out,
                     p->ld_out);
    else if (w->form == FORM_COLUMNS)
        k->dots_tiles(&w->columns, first / CSM_TILE, n_rows, NULL, job->x.values, job->x.ld, job->x.n, out,
                      p->ld_out);
    else
        k->dots_affine(&w->tiles, first / CSM_TILE, n_rows, x, job->x.n, out, p->ld_out);
    if (p->bias != NULL)
        for (size_t t = 0; t < job->x.n; t++)
            for (size_t r = 0; r < n_rows; r++)
                out[t * p->ld_out + r] += p->bias[first + r];
}

/* Columns first.. of row t; whole groups. */
static void to_digits(const struct kernels *k, const float *x, size_t t, size_t first, size_t n,
                      const struct affine_rows *to)
{
    const size_t g = first / to->group, at = t * to->n_groups + g, n_groups = n / to->group;
    const struct digits *d = &to->digits;
    if (!d->in_tiles) {
        k->to_digits(x, n_groups, to->group, d->planes + at * CSM_PLANES * to->group,
                     d->steps + at, d->sums + at);
        return;
    }
    enum { AT_ONCE = 8 }; /* groups: what was just stored is slow to load */
    int8_t planes[AT_ONCE * CSM_PLANES * CSM_MOST_GROUP];
    for (size_t i = 0; i < n_groups; i += AT_ONCE) {
        const size_t many = n_groups - i < AT_ONCE ? n_groups - i : AT_ONCE;
        k->to_digits(x + i * to->group, many, to->group, planes, d->steps + at + i,
                     d->sums + at + i);
        for (size_t j = 0; j < many; j++)
            k->tile_digits(planes + j * CSM_PLANES * to->group, to->group, t % CSM_DIGIT_ROWS,
                           d->planes + csm_digit_tile(to->n_groups, to->group, t, g + i + j));
    }
}

static void finish(const struct job *job, const struct product *p, size_t first, size_t n_rows)
{
    const struct kernels *k = job->native->kernels;
    for (size_t t = 0; t < job->x.n; t++) {
        float *out = p->out + t * p->ld_out + first;
        switch (job->finishing.kind) {
        case FINISH_STORE:
            break;
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
        if (job->finishing.affine != NULL)
            to_digits(k, out, t, first, n_rows, job->finishing.affine);
    }
}

/* A thread's own digits of the one row: between cores of different caches reading another's
 * takes longer than making them. */
static struct digits own_digits(const struct job *job, int thread)
{
    const struct affine_rows *own = job->own;
    size_t at = (size_t)thread * own->n_groups;
    struct digits mine = {own->digits.planes + at * CSM_PLANES * own->group, own->digits.steps + at,
                          own->digits.sums + at, false};
    struct native_turn *made = &job->native->made[thread];
    if (made->turn != job->turn) {
        made->turn = job->turn;
        job->native->kernels->to_digits(job->x.values, own->n_groups, own->group, mine.planes,
                                        mine.steps, mine.sums);
    }
    return mine;
}

/* Items are n_each tiles, those of the first matrix before those of the second; gated,
 * of both. */
static void work(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    struct digits digits = {0};
    if (job->own != NULL)
        digits = own_digits(job, thread);
    else if (job->x.affine != NULL)
        digits = job->x.affine->digits;
    first *= job->n_each;
    end = end * job->n_each < job->n_tiles ? end * job->n_each : job->n_tiles;
    bool gated = job->finishing.kind == FINISH_GATED;
    for (const struct product *p = job->products; first < end; p++) {
        size_t n_tiles = tiles_of(p);
        if (first < n_tiles) {
            size_t to = end < n_tiles ? end : n_tiles;
            size_t row = first * CSM_TILE;
            size_t n_rows = (to * CSM_TILE < rows_of(p) ? to * CSM_TILE : rows_of(p)) - row;
            dots(job, p, &digits, row, n_rows);
            if (gated)
                dots(job, p + 1, &digits, row, n_rows);
            finish(job, p, row, n_rows);
            first = to;
        }
        first -= n_tiles < first ? n_tiles : first;
        end -= n_tiles < end ? n_tiles : end;
    }
}

struct digits_job {
    const struct kernels *kernels;
    const float *x;
    size_t ld_x;
    const struct affine_rows *out;
};

static void digits_work(void *user, size_t first, size_t end, int thread)
{
    const struct digits_job *job = user;
    (void)thread;
    for (size_t t = first; t < end; t++)
        to_digits(job->kernels, job->x + t * job->ld_x, t, 0, job->out->n_groups * job->out->group,
                  job->out);
}

bool csm_native_wants_tiles(const struct native *native, const csm_weight *weight, size_t n_x)
{
    const struct kernels *k = native->kernels;
    return k->wants_tiles != NULL && k->wants_tiles(&weight->tiles, n_x);
}

csm_status csm_native_affine_room(struct native *native, enum scratch planes, size_t n_x, size_t cols,
                              size_t group, bool in_tiles, struct affine_rows *out, csm_error *err)
{
    float *room;
    const size_t n_rows = n_x;
    *out = (struct affine_rows){.n_groups = cols / group, .group = group};
    out->digits.in_tiles = in_tiles;
    n_x = in_tiles ? csm_padded(n_rows, CSM_DIGIT_ROWS) : n_rows;
    csm_status st = csm_native_scratch(native, planes, n_x * cols * CSM_PLANES / 4 + 1, &room, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, planes + 1, n_x * out->n_groups, &out->digits.steps, err);
    if (st == CSM_OK)
        st = csm_native_scratch(native, planes + 2, n_x * out->n_groups, &out->digits.sums, err);
    if (st != CSM_OK)
        return st;
    out->digits.planes = (int8_t *)room;
    const size_t missing = (n_x - n_rows) * out->n_groups * sizeof(float);
    memset(out->digits.steps + n_rows * out->n_groups, 0, missing);
    memset(out->digits.sums + n_rows * out->n_groups, 0, missing);
    return CSM_OK;
}

/* Items are as in work(). */
static void finish_work(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    (void)thread;
    size_t row = first * job->n_each * CSM_TILE, to = end * job->n_each * CSM_TILE;
    to = to < rows_of(job->products) ? to : rows_of(job->products);
    finish(job, job->products, row, to - row);
}

/* What follows products that are there. */
static void finish_all(struct native *native, const struct product *products, size_t n_products,
                       struct finishing finishing, struct rows x)
{
    struct job job = {.native = native, .products = products, .n_products = n_products,
                      .finishing = finishing, .x = x, .n_each = 1};
    if (finishing.affine != NULL)
        job.n_each = finishing.affine->group / CSM_TILE;
    csm_threads_run(native->threads, finish_work, &job, tiles_of(products) / job.n_each, 1);
}

/* Some rows are of lanes with adapters, of which some product has pairs. */
static csm_status product_adapted(struct native *native, const struct product *products,
                                  size_t n_products, struct finishing finishing, struct rows x,
                                  csm_error *err)
{
    struct rows plain = x;
    plain.adapters = NULL;
    csm_status st = csm_native_product(native, products, n_products,
                                       (struct finishing){.kind = FINISH_STORE}, plain, err);
    for (size_t i = 0; st == CSM_OK && i < n_products; i++)
        st = csm_native_pairs_add(native, &products[i], x, err);
    if (st == CSM_OK && (finishing.kind != FINISH_STORE || finishing.affine != NULL))
        finish_all(native, products, n_products, finishing, plain);
    return st;
}

/* Matrices of different groups, for which one input has different digits: one after the
 * other, and what follows gate and up when both are there. */
static csm_status product_each(struct native *native, const struct product *products,
                               size_t n_products, struct finishing finishing, struct rows x,
                               csm_error *err)
{
    const bool is_gated = finishing.kind == FINISH_GATED;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n_products; i++)
        st = csm_native_product(native, &products[i], 1,
                                is_gated ? (struct finishing){.kind = FINISH_STORE} : finishing,
                                x, err);
    if (st == CSM_OK && is_gated)
        finish_all(native, products, n_products, finishing, x);
    return st;
}

csm_status csm_native_product(struct native *native, const struct product *products, size_t n_products,
                          struct finishing finishing, struct rows x, csm_error *err)
{
    struct job job = {.native = native, .products = products, .n_products = n_products,
                      .finishing = finishing, .x = x};
    size_t group = 0, n_tiles = 0;
    bool has_groups = false, has_pairs = false, in_tiles = x.n > 1;
    for (size_t i = 0; i < n_products; i++) {
        const struct product *p = &products[i];
        if (cols_of(p) != cols_of(products))
            return csm_fail(err, CSM_BAD_ARG, "native: one input for matrices of %zu and %zu columns",
                            cols_of(products), cols_of(p));
        n_tiles += tiles_of(p);
        has_pairs = has_pairs || p->weight->n_pairs > 0;
        if (is_affine(p)) {
            has_groups = has_groups || (group != 0 && group != (size_t)p->weight->tiles.group);
            group = (size_t)p->weight->tiles.group;
            in_tiles = in_tiles && csm_native_wants_tiles(native, p->weight, x.n);
        }
    }
    if (finishing.kind == FINISH_GATED) {
        if (n_products != 2 || rows_of(products) != rows_of(products + 1))
            return csm_fail(err, CSM_BAD_ARG, "native: gate and up of different shapes");
        n_tiles = tiles_of(products);
    }
    if (x.n == 0)
        return CSM_OK;
    if (has_pairs && x.adapters != NULL)
        return product_adapted(native, products, n_products, finishing, x, err);
    if (has_groups)
        return product_each(native, products, n_products, finishing, x, err);
    struct affine_rows made;
    if (group != 0 && x.affine == NULL) {
        size_t n = x.n == 1 ? (size_t)csm_threads_count(native->threads) : x.n;
        csm_status st = csm_native_affine_room(native, SCRATCH_PLANES, n, cols_of(products), group,
                                               in_tiles, &made, err);
        if (st != CSM_OK)
            return st;
        if (x.n == 1) {
            job.own = &made;
            job.turn = ++native->turn;
        } else {
            struct digits_job digits = {native->kernels, x.values, x.ld, &made};
            csm_threads_run(native->threads, digits_work, &digits, x.n, 4);
            job.x.affine = &made;
        }
    }
    /* Kernels of digits in tiles take two matrix tiles at a time. */
    const bool has_tiles = job.x.affine != NULL && job.x.affine->digits.in_tiles;
    job.n_tiles = n_tiles;
    job.n_each = has_tiles ? PAIR : 1;
    if (finishing.affine != NULL)
        job.n_each = finishing.affine->group / CSM_TILE;
    /* Others unpack weights of many rows at each call: longer pieces, where there are enough. */
    size_t n = (n_tiles + job.n_each - 1) / job.n_each, grain = 1;
    if (x.n >= MANY_ROWS && !has_tiles)
        grain = n / (4 * (size_t)csm_threads_count(native->threads)) + 1;
    csm_threads_run(native->threads, work, &job, n, grain < MOST_TILES ? grain : MOST_TILES);
    return CSM_OK;
}
