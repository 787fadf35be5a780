/* SPDX-License-Identifier: Apache-2.0
 *
 * stack.h - a stack of transformer layers over an engine: the backbone, the
 * depth decoder and Mimi's two transformers are one of these each. */
#ifndef CSM_MODEL_STACK_H
#define CSM_MODEL_STACK_H

#include "engine/open.h"


struct csm_stack {
    size_t n_layers;
    struct csm_attention *attention; /* [n_layers] */
    struct csm_mlp *mlp;             /* [n_layers] */
    struct csm_norm norm;            /* after the last layer; scale NULL: none */
};

/* Who sees hidden states go by. `name` is what stands before ".layer0". */
struct csm_watch {
    csm_observer observe; /* NULL: nobody */
    void *user;
    const char *name;
    size_t frame;
    size_t at;
};

/* Room for n_layers layers, all zero; freed with csm_stack_free. */
csm_status csm_stack_new(struct csm_stack *stack, size_t n_layers, csm_error *err);
void csm_stack_free(struct csm_stack *stack);

/* All layers over x [n_lanes * T, width], in place, without the norm; the cache
 * grows by T. `rows` is x's number of rows (read only to watch). */
csm_status csm_stack_run(const struct csm_engine *engine, const struct csm_stack *stack,
                         csm_cache *cache, size_t first_lane, size_t n_lanes, size_t rows,
                         const struct csm_watch *watch, csm_value *x, csm_error *err);

/* Hand x [rows, cols] to the observer, if there is one; `suffix` follows the
 * watch's name, "" for none. */
csm_status csm_watch_value(const struct csm_engine *engine, const struct csm_watch *watch,
                           const char *suffix, size_t rows, size_t cols, const csm_value *x,
                           csm_error *err);

#endif
