/* SPDX-License-Identifier: Apache-2.0 */
#include "made_of.h"

#include <stdio.h>
#include <string.h>

#include "parts.h"

void made_of_text(char digest[33], const char *text)
{
    part_digest(digest, text, strlen(text) + 1);
}

void made_of_settings(char digest[33], const struct speak *what, const csm_model *model,
                      const csm_session *session)
{
    const csm_model_info *info = csm_model_describe(model);
    const csm_generate_options *o = &what->options;
    char settings[512];
    snprintf(settings, sizeof settings,
             "%s %s %s %s %s %s %d %.17g %d %.17g %d %.17g %.17g %.17g %.17g %s %s %s %d %d %d", csm_version(), info->digest,
             info->engine, info->device, info->codec_engine, csm_strategy_name(info->strategy),
             (int)info->precision, o->temperature, o->top_k, o->depth_temperature, o->depth_top_k,
             o->top_p, o->min_p, o->depth_top_p, o->depth_min_p,
             o->stream != NULL ? o->stream : "", o->sampler != NULL ? o->sampler : "",
             o->mlx_version != NULL ? o->mlx_version : "", what->min_ms, what->max_ms,
             (int)o->has_guard);
    made_of_text(digest, settings);
    for (size_t i = 0; i < csm_session_count(session); i++) {
        const csm_turn turn = csm_session_turn(session, i);
        made_of_text(digest, turn.text);
        part_digest(digest, &turn.speaker, sizeof turn.speaker);
        part_digest(digest, turn.codes, turn.n_frames * info->n_codebooks * sizeof *turn.codes);
    }
}
