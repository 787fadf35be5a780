/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/nothing.h"

static csm_status weight_new(void *ctx, const struct csm_weight_source *source, csm_weight **out,
                             csm_error *err)
{
    (void)ctx;
    (void)source;
    (void)err;
    *out = NULL;
    return CSM_OK;
}

static void weight_free(void *ctx, csm_weight *weight)
{
    (void)ctx;
    (void)weight;
}

static void close_nothing(void *ctx)
{
    (void)ctx;
}

static const char *version(void *ctx)
{
    (void)ctx;
    return "";
}

static const struct csm_traits *traits(void *ctx)
{
    static const struct csm_traits none = {.own_stream = CSM_STREAM_COUNT};
    (void)ctx;
    return &none;
}

const struct csm_engine_ops csm_engine_nothing = {.name = "none",
                                                  .close = close_nothing,
                                                  .version = version,
                                                  .traits = traits,
                                                  .weight_new = weight_new,
                                                  .weight_free = weight_free};
