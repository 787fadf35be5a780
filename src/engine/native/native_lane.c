/* SPDX-License-Identifier: Apache-2.0
 *
 * native_lane.c - a lane's keys and values, in pages of 16 positions.
 *
 * A page has all layers and heads of its positions: per layer and kv head, keys [head_dim][16],
 * then values [16][head_dim]. So a lane takes what it uses; lanes that begin alike hold the
 * same pages, and one that goes on in a page that others hold, too, takes a copy first. A
 * windowed lane is a ring of pages, taken at once: it is used whole, again and again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/native/native_lane.h"

/* Before a page's floats, on a line of its own. */
struct page {
    _Alignas(64) size_t n_holders;
};

static struct page *page_of(const float *floats)
{
    return (struct page *)(void *)((char *)(uintptr_t)floats - sizeof(struct page));
}

static float *page_new(const csm_lane *lane)
{
    const size_t n_bytes = lane->page_floats * sizeof(float);
    struct page *page = csm_kernels_alloc(sizeof *page + n_bytes);
    if (page == NULL)
        return NULL;
    page->n_holders = 1;
    float *floats = (float *)(void *)(page + 1);
    memset(floats, 0, n_bytes);
    return floats;
}

static void page_release(float *floats)
{
    struct page *page = page_of(floats);
    if (--page->n_holders == 0)
        free(page);
}

/* ---- angles ----------------------------------------------------------------- */

static float frequency(const struct csm_rope *rope, size_t i, size_t head_dim)
{
    double f = pow(rope->theta, -2.0 * (double)i / (double)head_dim);
    if (rope->factor == 0)
        return (float)f;
    double wavelength = 2 * 3.14159265358979323846 / f;
    double longest = rope->original_max_positions / rope->low_freq_factor;
    double shortest = rope->original_max_positions / rope->high_freq_factor;
    if (wavelength < shortest)
        return (float)f;
    if (wavelength > longest)
        return (float)(f / rope->factor);
    double s = (rope->original_max_positions / wavelength - rope->low_freq_factor) /
               (rope->high_freq_factor - rope->low_freq_factor);
    return (float)((1 - s) * f / rope->factor + s * f);
}

static bool is_same_rope(const struct csm_rope *a, const struct csm_rope *b)
{
    return a->theta == b->theta && a->factor == b->factor &&
           a->low_freq_factor == b->low_freq_factor && a->high_freq_factor == b->high_freq_factor &&
           a->original_max_positions == b->original_max_positions;
}

static void angles_free(struct native_angles *angles)
{
    free(angles->frequencies);
    free(angles->cosines);
    free(angles->sines);
    free(angles->positions);
    free(angles);
}

void csm_native_angles_free(struct native *native)
{
    for (struct native_angles *a = native->angles, *next; a != NULL; a = next) {
        next = a->next;
        angles_free(a);
    }
}

static csm_status grow(struct native_angles *a, size_t n_slots, csm_error *err)
{
    const size_t half = a->head_dim / 2;
    float *cosines = realloc(a->cosines, (n_slots * half + 1) * sizeof *cosines);
    if (cosines != NULL)
        a->cosines = cosines;
    float *sines = realloc(a->sines, (n_slots * half + 1) * sizeof *sines);
    if (sines != NULL)
        a->sines = sines;
    size_t *positions = realloc(a->positions, n_slots * sizeof *positions);
    if (positions != NULL)
        a->positions = positions;
    if (cosines == NULL || sines == NULL || positions == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for the angles of %zu positions",
                        n_slots);
    memset(positions + a->n_slots, 0, (n_slots - a->n_slots) * sizeof *positions);
    a->n_slots = n_slots;
    return CSM_OK;
}

csm_status csm_native_angles_find(struct native *native, const csm_lane *lane,
                                  struct native_angles **out, csm_error *err)
{
    for (struct native_angles *a = native->angles; a != NULL; a = a->next)
        if (a->head_dim == lane->head_dim && is_same_rope(&a->rope, &lane->rope)) {
            *out = a;
            return CSM_OK;
        }
    struct native_angles *a = calloc(1, sizeof *a);
    if (a == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for angles");
    a->rope = lane->rope;
    a->head_dim = lane->head_dim;
    a->frequencies = calloc(lane->head_dim / 2 + 1, sizeof *a->frequencies);
    csm_status st = a->frequencies != NULL
                        ? grow(a, 128, err)
                        : csm_fail(err, CSM_NO_MEMORY, "native: no memory for angles");
    if (st != CSM_OK) {
        angles_free(a);
        return st;
    }
    for (size_t i = 0; i < lane->head_dim / 2; i++)
        a->frequencies[i] = frequency(&lane->rope, i, lane->head_dim);
    a->next = native->angles;
    native->angles = a;
    *out = a;
    return CSM_OK;
}

csm_status csm_native_angles_reserve(struct native_angles *a, size_t first, size_t end,
                                     bool is_windowed, csm_error *err)
{
    size_t n_slots = a->n_slots;
    while (is_windowed ? end - first > n_slots : end > n_slots)
        n_slots *= 2;
    return n_slots > a->n_slots ? grow(a, n_slots, err) : CSM_OK;
}

void csm_native_angles_set(struct native_angles *a, size_t position)
{
    size_t slot = position % a->n_slots, half = a->head_dim / 2;
    if (a->positions[slot] == position + 1)
        return;
    a->positions[slot] = position + 1;
    for (size_t i = 0; i < half; i++) {
        double angle = a->frequencies[i] * (float)position;
        a->cosines[slot * half + i] = (float)cos(angle);
        a->sines[slot * half + i] = (float)sin(angle);
    }
}

/* ---- lanes ------------------------------------------------------------------- */

static csm_status lane_new(const csm_lane *as, csm_lane **out, csm_error *err)
{
    csm_lane *lane = calloc(1, sizeof *lane);
    if (lane != NULL) {
        *lane = *as;
        lane->pages = NULL;
        lane->ring = NULL;
        lane->n_pages = lane->n_rooms = 0;
        lane->lengths = calloc(as->n_layers, sizeof *lane->lengths);
    }
    if (lane == NULL || lane->lengths == NULL) {
        free(lane);
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a lane");
    }
    *out = lane;
    return CSM_OK;
}

/* Room for n pages in the table. */
static csm_status make_table(csm_lane *lane, size_t n, csm_error *err)
{
    if (n <= lane->n_rooms)
        return CSM_OK;
    size_t n_rooms = lane->n_rooms + lane->n_rooms / 2;
    n_rooms = n_rooms > n ? n_rooms : n;
    float **pages = realloc(lane->pages, n_rooms * sizeof *pages);
    if (pages == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a lane of %zu positions",
                        n * CSM_TILE);
    lane->pages = pages;
    lane->n_rooms = n_rooms;
    return CSM_OK;
}

static csm_status make_ring(csm_lane *lane, csm_error *err)
{
    const size_t n = (lane->capacity + CSM_TILE - 1) / CSM_TILE;
    csm_status st = make_table(lane, n, err);
    if (st != CSM_OK)
        return st;
    lane->ring = csm_kernels_alloc(n * lane->page_floats * sizeof *lane->ring);
    if (lane->ring == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "native: no memory for a lane of %zu positions",
                        lane->capacity);
    memset(lane->ring, 0, n * lane->page_floats * sizeof *lane->ring);
    for (size_t i = 0; i < n; i++)
        lane->pages[i] = lane->ring + i * lane->page_floats;
    lane->n_pages = n;
    return CSM_OK;
}

csm_status csm_native_lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                                size_t capacity, csm_lane **out, csm_error *err)
{
    if (n_layers == 0 || capacity == 0)
        return csm_fail(err, CSM_BAD_ARG, "native: a lane of %zu layers, %zu positions", n_layers,
                        capacity);
    const struct csm_attention *a = &blocks[0];
    for (size_t i = 1; i < n_layers; i++)
        if (blocks[i].n_kv_heads != a->n_kv_heads || blocks[i].head_dim != a->head_dim ||
            blocks[i].window != a->window)
            return csm_fail(err, CSM_BAD_ARG, "native: layer %zu differs in heads or window", i);
    const csm_lane as = {.n_layers = n_layers,
                         .n_kv_heads = a->n_kv_heads,
                         .head_dim = a->head_dim,
                         .window = a->window,
                         .capacity = capacity,
                         .rope = a->rope,
                         .page_floats = n_layers * a->n_kv_heads * a->head_dim * 2 * CSM_TILE};
    csm_lane *lane = NULL;
    csm_status st = lane_new(&as, &lane, err);
    if (st == CSM_OK && a->window != 0)
        st = make_ring(lane, err);
    if (st != CSM_OK) {
        csm_native_lane_close(ctx, lane);
        return st;
    }
    *out = lane;
    return CSM_OK;
}

csm_status csm_native_lane_fork(void *ctx, const csm_lane *from, size_t n_positions,
                                csm_lane **out, csm_error *err)
{
    for (size_t l = 0; l < from->n_layers; l++)
        if (from->window != 0 || n_positions > from->lengths[l])
            return csm_fail(err, CSM_BAD_ARG, "native: a fork at %zu of a lane of %zu positions",
                            n_positions, from->lengths[l]);
    const size_t n_pages = (n_positions + CSM_TILE - 1) / CSM_TILE;
    csm_lane *lane = NULL;
    csm_status st = lane_new(from, &lane, err);
    if (st == CSM_OK)
        st = make_table(lane, n_pages, err);
    if (st != CSM_OK) {
        csm_native_lane_close(ctx, lane);
        return st;
    }
    for (size_t i = 0; i < n_pages; i++) {
        lane->pages[i] = from->pages[i];
        page_of(lane->pages[i])->n_holders++;
    }
    lane->n_pages = n_pages;
    for (size_t l = 0; l < lane->n_layers; l++)
        lane->lengths[l] = n_positions;
    *out = lane;
    return CSM_OK;
}

csm_status csm_native_lane_hold(csm_lane *lane, size_t first, size_t end, csm_error *err)
{
    if (lane->window != 0 || end == first)
        return CSM_OK;
    const size_t n = (end + CSM_TILE - 1) / CSM_TILE;
    csm_status st = make_table(lane, n, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = first / CSM_TILE; i < n; i++) {
        const bool is_there = i < lane->n_pages;
        if (is_there && page_of(lane->pages[i])->n_holders == 1)
            continue;
        float *page = page_new(lane);
        if (page == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "native: no memory for position %zu of a lane",
                            i * CSM_TILE);
        if (is_there) {
            memcpy(page, lane->pages[i], lane->page_floats * sizeof *page);
            page_release(lane->pages[i]);
        }
        lane->pages[i] = page;
        lane->n_pages = is_there ? lane->n_pages : i + 1;
    }
    return CSM_OK;
}

csm_status csm_native_lane_reserve(void *ctx, csm_lane *lane, size_t n, csm_error *err)
{
    const size_t length = lane->lengths[0];
    struct native_angles *angles;
    csm_status st = csm_native_lane_hold(lane, length, length + n, err);
    if (st == CSM_OK)
        st = csm_native_angles_find(ctx, lane, &angles, err);
    if (st == CSM_OK)
        st = csm_native_angles_reserve(angles, length, length + n, lane->window != 0, err);
    return st;
}

csm_status csm_native_lane_truncate(void *ctx, csm_lane *lane, size_t n_positions, csm_error *err)
{
    (void)ctx;
    for (size_t l = 0; l < lane->n_layers; l++)
        if (lane->window != 0 && n_positions != 0 && n_positions < lane->lengths[l])
            return csm_fail(err, CSM_BAD_ARG,
                            "native: a windowed lane of %zu positions cut to %zu, expected 0",
                            lane->lengths[l], n_positions);
    for (size_t l = 0; l < lane->n_layers; l++)
        if (n_positions < lane->lengths[l])
            lane->lengths[l] = n_positions;
    /* Its own pages stay: it goes on in them. */
    const size_t n_used = (n_positions + CSM_TILE - 1) / CSM_TILE;
    while (lane->window == 0 && lane->n_pages > n_used &&
           page_of(lane->pages[lane->n_pages - 1])->n_holders > 1)
        page_release(lane->pages[--lane->n_pages]);
    return CSM_OK;
}

size_t csm_native_lane_bytes(void *ctx, const csm_lane *lane)
{
    (void)ctx;
    const size_t page = lane->page_floats * sizeof(float);
    size_t n = 0;
    for (size_t i = 0; i < lane->n_pages; i++)
        n += lane->window != 0 ? page : page / page_of(lane->pages[i])->n_holders;
    return n;
}

void csm_native_lane_close(void *ctx, csm_lane *lane)
{
    (void)ctx;
    if (lane == NULL)
        return;
    for (size_t i = 0; lane->ring == NULL && i < lane->n_pages; i++)
        page_release(lane->pages[i]);
    free(lane->ring);
    free(lane->pages);
    free(lane->lengths);
    free(lane);
}
