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

/* Who sees hidden states go by, and which rows of a value are for it. `name` is what
 * stands before ".layer0". */
struct csm_watch {
    csm_observer observe; /* NULL: nobody */
    void *user;
    const char *name;
    size_t frame;
    size_t at;
    size_t first, n; /* n rows from the first on; n 0: all */
};

/* Room for n_layers layers, all zero; freed with csm_stack_free. */
csm_status csm_stack_new(struct csm_stack *stack, size_t n_layers, csm_error *err);
void csm_stack_free(struct csm_stack *stack);

/* All layers over x, in place, without the norm; the lanes grow by their rows. `n_rows` is
 * x's number of rows (read only to watch). */
csm_status csm_stack_run(const struct csm_engine *engine, const struct csm_stack *stack,
                         const struct csm_rows *rows, size_t n_lanes, size_t n_rows,
                         const struct csm_watch *watches, size_t n_watches, csm_value *x,
                         csm_error *err);

/* Hand x [rows, cols] to those observers that there are; `suffix` follows the watch's name,
 * "" for none. */
csm_status csm_watch_value(const struct csm_engine *engine, const struct csm_watch *watches,
                           size_t n_watches, const char *suffix, size_t rows, size_t cols,
                           const csm_value *x, csm_error *err);

#endif
