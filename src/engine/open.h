/* SPDX-License-Identifier: Apache-2.0
 *
 * open.h - engines by name.
 *
 * "native" is part of the library. "mlx" and "torch" are shared objects,
 * csm_engine_NAME.so, opened when asked for: from $CSM_ENGINE_DIR alone where
 * that is set, else from beside the file that holds this code (libcsm, or the
 * command), from lib and lib/csm beside its directory, and from the directory
 * that the build was to be installed to. A file that others than its owner, the
 * user and root could have put there is not loaded (base/place.h). */
#ifndef CSM_ENGINE_OPEN_H
#define CSM_ENGINE_OPEN_H

#include "engine/bits.h"
#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An engine that is open; all zero: none. */
struct csm_engine {
    const struct csm_engine_ops *ops;
    void *ctx;
    void *library; /* of dlopen; NULL: inside */
    struct csm_engine_bits bits;
};

/* Open an engine.
 *
 *   name     "native", "mlx", "torch"
 *   options  may be NULL: all zero
 *   out      to be closed with csm_engine_close; all zero on failure
 *
 * Returns CSM_OK; CSM_BAD_ARG for another name; CSM_NO_ENGINE when the shared
 * object is missing, does not load, or was built for another csm or another
 * version of its library: the message, one line, says how to install it; else
 * what the engine's open returned. */
csm_status csm_engine_open(const char *name, const struct csm_engine_options *options,
                           struct csm_engine *out, csm_error *err);

/* The engine over PyTorch, whose draws strategy hybrid needs. */
#define CSM_ENGINE_TORCH "torch"

/* Whether it is the engine of that name. */
bool csm_engine_is(const struct csm_engine *engine, const char *name);

/* Close; takes NULL and one that is all zero, and leaves it so. */
void csm_engine_close(struct csm_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
