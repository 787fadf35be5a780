/* SPDX-License-Identifier: Apache-2.0 */
#include "draw_options.h"

#include <string.h>

#include "choices.h"

bool choose_strategy(const char *name, bool is_exact, bool is_hybrid, csm_strategy *out)
{
    *out = is_exact    ? CSM_STRATEGY_EXACT
           : is_hybrid ? CSM_STRATEGY_HYBRID
                       : CSM_STRATEGY_AUTO;
    return choose_named_strategy(name, out);
}

csm_speculation_use choose_speculation(bool is_guessing, bool is_not_guessing)
{
    return is_guessing       ? CSM_SPECULATION_ON
           : is_not_guessing ? CSM_SPECULATION_OFF
                             : CSM_SPECULATION_AUTO;
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
