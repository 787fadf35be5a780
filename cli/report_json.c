/* SPDX-License-Identifier: Apache-2.0 */
#include "report_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_shown.h"

static json_t *timings(const csm_report *r, double open_ms)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "open", open_ms,
                     "encode", r->encode_ms, "prompt", r->prompt_ms, "backbone", r->backbone_ms,
                     "depth", r->depth_ms, "draw", r->draw_ms, "codec", r->codec_ms, "first_frame",
                     r->first_frame_ms, "first_sound", r->first_sound_ms, "total", r->total_ms);
}

/* The object as text, with the seed in its place: 64 bits without a sign, which
 * jansson's integers are not. A name cannot stand inside a string but escaped. */
static bool print(const json_t *all, uint64_t seed)
{
    static const char name[] = "\"seed\": ";
    char *text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    const char *at = text != NULL ? strstr(text, name) : NULL;
    bool is_printed = false;
    if (at != NULL) {
        at += sizeof name - 1;
        is_printed = printf("%.*s%" PRIu64 "%s\n", (int)(at - text), text, seed, at + 1) > 0 &&
                     fflush(stdout) == 0;
    }
    free(text);
    return is_printed;
}

static json_t *cutoffs(const csm_cutoffs *c)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "top_h", c->top_h, "typical_p", c->typical_p,
                     "epsilon_cutoff", c->epsilon, "eta_cutoff", c->eta);
}

csm_status report_json(const csm_model_info *info, const csm_result *result, const char *text,
                       int speaker, const char *output, double open_ms, json_t *warnings,
                       csm_error *err)
{
    const csm_report *r = result->report;
    double made_ms = (double)r->n_frames * info->frame_ms;
    json_t *choices = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "strategy",
        csm_strategy_name(r->strategy), "reason", r->reason, "fallback", r->fallback, "engine",
        r->engine, "engine_version", r->engine_version, "codec_engine", r->codec_engine, "stream",
        r->stream, "sampler", r->sampler, "sampling_dtype", r->dtype, "mlx_version",
        r->mlx_version, "precision", csm_precision_name(info->precision), "stored_dtype",
        info->stored_dtype, "library", r->library, "processor", r->processor, "device",
        info->device, "threads", r->n_threads, "speculation", info->has_draft ? "on" : "off");
    json_t *settings = json_pack(
        "{s:I, s:f, s:i, s:f, s:f, s:f, s:i, s:f, s:f, s:o, s:o, s:s}", "seed", (json_int_t)0, "temperature",
        r->temperature, "topk", r->top_k, "top_p", r->top_p, "min_p", r->min_p,
        "depth_temperature", r->depth_temperature, "depth_topk", r->depth_top_k, "depth_top_p",
        r->depth_top_p, "depth_min_p", r->depth_min_p, "cutoffs", cutoffs(&r->cutoffs),
        "depth_cutoffs", cutoffs(&r->depth_cutoffs), "code_rules", r->code_rules);
    json_t *all = json_pack(
        "{s:s, s:i, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:s, s:o, s:o, s:o, s:o, s:f, s:f}",
        "text", text,
        "speaker", speaker, "output", json_shown(output), "model", json_shown(info->path), "digest", info->digest,
        "version", csm_version(), "prompt_positions", (json_int_t)r->n_prompt, "prompt_reused",
        (json_int_t)r->n_reused, "guessed",
        (json_int_t)r->n_guessed, "confirmed", (json_int_t)r->n_confirmed, "frames",
        (json_int_t)r->n_frames, "seconds", made_ms / 1e3,
        "ended", (int)r->has_ended, "guarded", r->guarded, "warnings", warnings, "choices", choices, "settings",
        settings, "timings_ms", timings(r, open_ms), "frames_per_second",
        r->total_ms > 0.0 ? (double)r->n_frames * 1e3 / r->total_ms : 0.0, "real_time_factor",
        made_ms > 0.0 ? r->total_ms / made_ms : 0.0);
    if (all == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "--json: out of memory");
    bool is_printed = print(all, r->seed);
    json_decref(all);
    return is_printed ? CSM_OK
                      : csm_fail(err, CSM_BAD_FILE, "--json: standard output cannot be written");
}
