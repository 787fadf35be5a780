/* SPDX-License-Identifier: Apache-2.0
 *
 * MLX's own home is Apple's GPU; its CPU backend is many times slower than the
 * native engine (docs/ENGINES.md), so elsewhere mlx is taken only when asked for. */
#include "generate/strategy.h"

#include <string.h>

#include "base/error.h"
#include "generate/speculation.h"

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

/* What AUTO means on the engine that was opened. */
static void settle(const csm_model_options *options, struct csm_host *host)
{
    host->strategy = options->strategy;
    host->reason = "asked for";
    host->is_asked = options->strategy != CSM_STRATEGY_AUTO;
    if (host->is_asked)
        return;
    switch (host->traits->own_draws) {
    case CSM_OWN_TORCH:
        host->strategy = CSM_STRATEGY_HYBRID;
        host->reason = "the engine is torch";
        break;
    case CSM_OWN_MLX:
        host->strategy = CSM_STRATEGY_PURE;
        host->reason = options->engine != NULL ? "the engine is mlx" : "mlx is installed";
        break;
    case CSM_OWN_NONE:
        host->strategy = CSM_STRATEGY_EXACT;
        host->reason = options->engine != NULL ? "the engine has no draws of its own"
                                               : "the native engine is the fastest here";
    }
}

static csm_status open_language(const csm_model_options *options, struct csm_host *host,
                                csm_error *err)
{
    const struct csm_engine_options engine = {.precision = options->precision,
                                              .n_threads = options->n_threads,
                                              .device = options->device};
    const bool is_hybrid = options->strategy == CSM_STRATEGY_HYBRID;
    const char *name = options->engine;
    if (name == NULL && is_hybrid)
        name = CSM_ENGINE_TORCH;
    csm_status st = name != NULL ? csm_engine_open(name, &engine, &host->engine, err)
                                 : open_local(&engine, &host->engine, err);
    if (st != CSM_OK)
        return st;
    host->traits = host->engine.ops->traits(host->engine.ctx);
    host->precision = options->precision;
    if (is_hybrid && host->traits->own_draws != CSM_OWN_TORCH)
        return csm_fail(err, CSM_BAD_ARG, "strategy hybrid on engine %s: expected torch", name);
    settle(options, host);
    return CSM_OK;
}

csm_status csm_engines_open(const csm_model_options *options, struct csm_host *host,
                            struct csm_engine *codec, csm_error *err)
{
    struct csm_engine_options how = {.n_threads = options->n_threads};
    csm_status st = open_language(options, host, err);
    if (st == CSM_OK && options->codec_engine != NULL &&
        !csm_engine_is(&host->engine, options->codec_engine)) {
        st = csm_engine_open(options->codec_engine, &how, codec, err);
    } else if (st == CSM_OK && options->codec_engine == NULL &&
               (host->strategy == CSM_STRATEGY_HYBRID || !host->traits->codec)) {
        st = open_local(&how, codec, err);
    } else if (st == CSM_OK && host->traits->codec_apart) {
        how.device = options->device;
        st = csm_engine_open(host->engine.ops->name, &how, codec, err);
    }
    const struct csm_engine *sound = codec->ops != NULL ? codec : &host->engine;
    if (st == CSM_OK && !sound->ops->traits(sound->ctx)->codec)
        st = csm_fail(err, CSM_BAD_ARG,
                      "codec on engine %s: it has no convolutions, expected native",
                      sound->ops->name);
    if (st != CSM_OK) {
        csm_engine_close(codec);
        csm_engine_close(&host->engine);
    }
    return st;
}

csm_status csm_host_open(struct csm_host *host, const csm_checkpoint *checkpoint, csm_error *err)
{
    csm_status st = csm_language_open(&host->language, &host->engine, checkpoint, err);
    return st == CSM_OK ? csm_pass_open(&host->language, &host->pass, err) : st;
}

void csm_host_close(struct csm_host *host)
{
    csm_speculation_close(host->speculation);
    csm_pass_close(&host->pass);
    csm_language_close(&host->language);
    csm_engine_close(&host->engine);
}
