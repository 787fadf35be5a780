/* SPDX-License-Identifier: Apache-2.0
 *
 * native_lane.h - what a lane holds, and the angles of its positions. */
#ifndef CSM_ENGINE_NATIVE_LANE_H
#define CSM_ENGINE_NATIVE_LANE_H

#include "engine/native/native.h"

/* Cosines and sines of positions, which lanes of the same rope share. Position p is in slot
 * p % n_slots. */
struct native_angles {
    struct native_angles *next;
    struct csm_rope rope;
    size_t head_dim, n_slots;
    float *frequencies;     /* [head_dim / 2] */
    float *cosines, *sines; /* [n_slots][head_dim / 2] */
    size_t *positions;      /* [n_slots]: position + 1 that the slot's angles are of */
};

struct csm_lane {
    size_t n_layers, n_kv_heads, head_dim, window;
    size_t capacity;    /* as asked for */
    size_t page_floats; /* of a page */
    size_t *lengths;    /* [n_layers] positions so far */
    float **pages;      /* [n_pages], room for n_rooms */
    size_t n_pages, n_rooms;
    float *ring;        /* of a windowed lane: all its pages */
    struct csm_rope rope;
    size_t adapter; /* its rows': csm_engine_ops.lane_adapter */
};

/* Where in a page a layer's kv head begins; its values follow its keys. */
static inline size_t csm_native_keys_at(const csm_lane *lane, size_t layer, size_t kv_head)
{
    return (layer * lane->n_kv_heads + kv_head) * 2 * CSM_TILE * lane->head_dim;
}

/* Pages for positions first..end-1 that no other lane holds. CSM_NO_MEMORY. */
csm_status csm_native_lane_hold(csm_lane *lane, size_t first, size_t end, csm_error *err);

/* The angles of a lane's rope in this context, made once for all its lanes. CSM_NO_MEMORY. */
csm_status csm_native_angles_find(struct native *native, const csm_lane *lane,
                                  struct native_angles **out, csm_error *err);

/* Room for the angles of positions first..end-1 at the same time. CSM_NO_MEMORY. */
csm_status csm_native_angles_reserve(struct native_angles *angles, size_t first, size_t end,
                                     bool is_windowed, csm_error *err);
void csm_native_angles_set(struct native_angles *angles, size_t position);

#endif
