/* SPDX-License-Identifier: Apache-2.0 */
#include "draw_options.h"

#include <string.h>

#include "choices.h"

bool choose_model(const struct model_choice *choice, csm_model_options *out)
{
    out->n_threads = choice->n_threads;
    out->device = choice->device;
    if (choice->engine != NULL && strcmp(choice->engine, "auto") != 0)
        out->engine = choice->engine;
    out->speculation = choice->is_guessing       ? CSM_SPECULATION_ON
                       : choice->is_not_guessing ? CSM_SPECULATION_OFF
                                                 : CSM_SPECULATION_AUTO;
    out->strategy = choice->is_exact    ? CSM_STRATEGY_EXACT
                    : choice->is_hybrid ? CSM_STRATEGY_HYBRID
                                        : CSM_STRATEGY_AUTO;
    return choose_named_strategy(choice->strategy, &out->strategy) &&
           choose_precision(choice->dtype, &out->precision);
}

/* MLX's draws are those of one of its samplers, or of its stream. */
csm_status check_mlx_version(const csm_generate_options *o, const csm_model_info *info,
                             csm_error *err)
{
    const bool is_mlx = o->stream != NULL    ? strcmp(o->stream, "mlx") == 0
                        : o->sampler != NULL ? strcmp(o->sampler, "csm-mlx") == 0 ||
                                                   strcmp(o->sampler, "mlx-categorical") == 0
                                             : info->strategy == CSM_STRATEGY_PURE;
    if (o->mlx_version == NULL || is_mlx)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_ARG,
                    "--mlx-version: strategy %s%s%s%s%s does not draw as MLX, expected --strategy "
                    "pure, --sampler csm-mlx or --stream mlx with it",
                    csm_strategy_name(info->strategy), o->sampler != NULL ? " with --sampler " : "",
                    o->sampler != NULL ? o->sampler : "", o->stream != NULL ? " with --stream " : "",
                    o->stream != NULL ? o->stream : "");
}
