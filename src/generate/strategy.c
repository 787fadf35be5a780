/* SPDX-License-Identifier: Apache-2.0
 *
 * MLX's own home is Apple's GPU; its CPU backend is many times slower than the
 * native engine (docs/ENGINES.md), so elsewhere mlx is taken only when asked for. */
#include "generate/strategy.h"

#include <string.h>

#include "base/error.h"

#if defined(__APPLE__)
enum { MLX_IS_AT_HOME = 1 };
#else
enum { MLX_IS_AT_HOME = 0 };
#endif

/* mlx where it is at home and installed, else native. */
static csm_status open_local(const struct csm_engine_options *options, struct csm_engine *out,
                             csm_error *err)
{
    if (MLX_IS_AT_HOME) {
        csm_error missing;
        csm_status st = csm_engine_open("mlx", options, out, &missing);
        if (st != CSM_NO_ENGINE) {
            if (st != CSM_OK)
                return csm_fail(err, st, "%s", missing.text);
            return CSM_OK;
        }
    }
    return csm_engine_open("native", options, out, err);
}

static csm_status open_language(const csm_model_options *options, struct csm_engines *out,
                                csm_error *err)
{
    const struct csm_engine_options engine = {.precision = options->precision,
                                              .n_threads = options->n_threads,
                                              .device = options->device};
    const char *name = options->engine;
    bool is_torch = name != NULL && strcmp(name, "torch") == 0;
    if (options->strategy == CSM_STRATEGY_HYBRID && name != NULL && !is_torch)
        return csm_fail(err, CSM_BAD_ARG, "strategy hybrid on engine %s: expected torch", name);
    if (options->strategy == CSM_STRATEGY_HYBRID)
        name = "torch";
    csm_error failure, missing;
    csm_status st = name != NULL ? csm_engine_open(name, &engine, &out->language, &failure)
                                 : open_local(&engine, &out->language, &failure);
    /* AUTO: torch in the place of one that does not start; what is only not
     * installed was asked for by name. */
    if (st == CSM_ENGINE && options->strategy == CSM_STRATEGY_AUTO && !is_torch &&
        csm_engine_open("torch", &engine, &out->language, &missing) == CSM_OK) {
        out->has_fallen_back = true;
        return CSM_OK;
    }
    return st == CSM_OK ? CSM_OK : csm_fail(err, st, "%s", failure.text);
}

/* What AUTO means on the engine that was opened. */
static void settle(const csm_model_options *options, struct csm_engines *out)
{
    const char *name = out->language.ops->name;
    out->strategy = options->strategy;
    out->reason = "asked for";
    if (options->strategy != CSM_STRATEGY_AUTO)
        return;
    if (strcmp(name, "torch") == 0) {
        out->strategy = CSM_STRATEGY_HYBRID;
        out->reason = out->has_fallen_back ? "the engine before it did not start"
                                           : "the engine is torch";
    } else if (strcmp(name, "mlx") == 0) {
        out->strategy = CSM_STRATEGY_PURE;
        out->reason = options->engine != NULL ? "the engine is mlx" : "mlx is installed";
    } else {
        out->strategy = CSM_STRATEGY_EXACT;
        out->reason = options->engine != NULL ? "the engine is native"
                                              : "the native engine is the fastest here";
    }
}

csm_status csm_engines_open(const csm_model_options *options, struct csm_engines *out,
                            csm_error *err)
{
    const struct csm_engine_options codec = {.n_threads = options->n_threads};
    *out = (struct csm_engines){0};
    csm_status st = open_language(options, out, err);
    if (st != CSM_OK)
        return st;
    settle(options, out);
    if (options->codec_engine != NULL) {
        if (strcmp(options->codec_engine, out->language.ops->name) != 0)
            st = csm_engine_open(options->codec_engine, &codec, &out->codec, err);
    } else if (out->strategy == CSM_STRATEGY_HYBRID || out->language.ops->conv == NULL) {
        st = open_local(&codec, &out->codec, err);
    }
    const struct csm_engine *sound = out->codec.ops != NULL ? &out->codec : &out->language;
    if (st == CSM_OK && sound->ops->conv == NULL)
        st = csm_fail(err, CSM_BAD_ARG,
                      "codec on engine %s: it has no convolutions, expected native",
                      sound->ops->name);
    if (st != CSM_OK)
        csm_engines_close(out);
    return st;
}

void csm_engines_close(struct csm_engines *engines)
{
    csm_engine_close(&engines->fallback);
    csm_engine_close(&engines->codec);
    csm_engine_close(&engines->language);
    *engines = (struct csm_engines){0};
}
