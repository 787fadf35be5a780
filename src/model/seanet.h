/* SPDX-License-Identifier: Apache-2.0
 *
 * seanet.h - a chain of causal convolutions and residual blocks over an engine:
 * Mimi's encoder and decoder are one of these each. A stream of sound goes
 * through in pieces, its past kept in a state. */
#ifndef CSM_MODEL_SEANET_H
#define CSM_MODEL_SEANET_H

#include "engine/open.h"

/* One step: y = conv(x); or, residual: y = x + second(conv(x)). */
struct csm_seanet_step {
    struct csm_conv conv;
    struct csm_conv second;
    bool is_residual;
};

struct csm_seanet {
    size_t n_steps;
    struct csm_seanet_step *steps;
};

struct csm_seanet_state {
    csm_conv_state **past; /* [2 * n_steps] */
    size_t n_past;
};

csm_status csm_seanet_new(struct csm_seanet *net, size_t n_steps, csm_error *err);
void csm_seanet_free(struct csm_seanet *net);

/* The state of one stream; closed with _close, also when _open failed. */
csm_status csm_seanet_state_open(const struct csm_engine *engine, const struct csm_seanet *net,
                                 struct csm_seanet_state *state, csm_error *err);
csm_status csm_seanet_state_reset(const struct csm_engine *engine, struct csm_seanet_state *state,
                                  csm_error *err);
void csm_seanet_state_close(const struct csm_engine *engine, struct csm_seanet_state *state);

/* One convolution of n streams, whose pasts these are; x, out: the rows of each, one stream's
 * after the other's. n above 1: the engine has conv_lanes. */
csm_status csm_conv_run(const struct csm_engine *engine, const struct csm_conv *conv,
                        csm_conv_state *const *pasts, size_t n, const csm_value *x,
                        csm_value *out, csm_error *err);

/* n streams, as csm_conv_run takes them.
 *
 *   states  [n], each of its own stream
 *   pasts   room for n
 *   spare   two values to work with
 *   x       -> out, which is another value than x; x is overwritten */
csm_status csm_seanet_run(const struct csm_engine *engine, const struct csm_seanet *net,
                          struct csm_seanet_state *const *states, size_t n,
                          csm_conv_state **pasts, csm_value *const *spare, csm_value *x,
                          csm_value *out, csm_error *err);

#endif
