/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "made_of.h"
#include "recital.h"

/* ---- what an utterance depends on ------------------------------------------- */

/* One that has others as context depends on all that these depend on. */
static csm_status make_keys(struct recital *r, csm_error *err)
{
    const bool is_alone = r->how->n_batch > 0;
    char all[33] = "", last[33];
    made_of_settings(all, r->what, r->model, r->context.session);
    memcpy(last, all, sizeof last);
    r->keys = calloc(r->utterances.n, sizeof *r->keys);
    if (r->keys == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    for (size_t i = 0; i < r->utterances.n; i++) {
        const struct utterance *u = &r->utterances.items[i];
        const uint64_t seed = r->what->options.seed + i;
        if (is_alone)
            memcpy(last, all, sizeof last);
        made_of_text(last, u->text);
        part_digest(last, &u->speaker, sizeof u->speaker);
        part_digest(last, &seed, sizeof seed);
        r->keys[i] = (struct part_key){.output = r->what->output, .index = i};
        memcpy(r->keys[i].made_of, last, sizeof last);
    }
    return CSM_OK;
}

/* ---- giving it away --------------------------------------------------------- */

bool recital_has_part(const struct recital *r, size_t i, struct part *part)
{
    return r->how->is_resumed &&
           part_open(&r->keys[i], csm_model_describe(r->model)->n_codebooks, part);
}

void recital_tell(struct recital *r, size_t i, size_t n_frames, const char *ended)
{
    const struct utterance *u = &r->utterances.items[i];
    double seconds = (double)n_frames * csm_model_describe(r->model)->frame_ms / 1e3;
    json_array_append_new(r->told, json_pack("{s:s, s:i, s:I, s:f, s:s}", "text", u->text,
                                             "speaker", u->speaker, "frames", (json_int_t)n_frames,
                                             "seconds", seconds, "ended", ended));
    r->seconds += seconds;
    r->n_silent += n_frames == 0;
}

const char *recital_ending(const csm_report *report)
{
    return report->has_ended             ? "by itself"
           : report->guarded[0] != '\0' ? report->guarded
                                         : "length limit";
}

/* out.wav -> out-001.wav */
static csm_status open_numbered(struct recital *r, size_t i, csm_error *err)
{
    const struct speak *w = r->what;
    char path[4096];
    const char *slash = strrchr(w->output, '/'), *dot = strrchr(w->output, '.');
    if (dot == NULL || (slash != NULL && dot < slash))
        dot = w->output + strlen(w->output);
    int n = snprintf(path, sizeof path, "%.*s-%03zu%s", (int)(dot - w->output), w->output, i + 1,
                     dot);
    if (n < 0 || (size_t)n >= sizeof path)
        return csm_fail(err, CSM_BAD_ARG, "--output: the path is too long");
    const csm_model_info *info = csm_model_describe(r->model);
    const csm_status st = sink_open(&r->sink, path, &w->written, w->is_played,
                                    info->sample_rate_hz, &w->marking, info->digest, err);
    r->sink.warnings = &r->what->warnings;
    return st;
}

csm_status recital_open_utterance(struct recital *r, size_t i, csm_error *err)
{
    return r->how->is_per_turn ? open_numbered(r, i, err) : CSM_OK;
}

csm_status recital_close_utterance(struct recital *r, size_t i, csm_status st, csm_error *err)
{
    const int asked_ms = r->utterances.items[i].pause_ms;
    if (r->how->is_per_turn) {
        if (st == CSM_OK && asked_ms > 0)
            st = sink_pause(&r->sink, asked_ms, err);
        return sink_close(&r->sink, st, err);
    }
    if (st != CSM_OK)
        return st;
    const bool is_last = i + 1 == r->utterances.n;
    return sink_pause(&r->sink, asked_ms > 0 ? asked_ms : is_last ? 0 : CSM_PAUSE_MS, err);
}

void recital_show_progress(const struct recital *r, size_t i)
{
    if (!r->what->is_quiet && !r->what->is_debug && isatty(2))
        fprintf(stderr, "%zu of %zu: %s\n", i + 1, r->utterances.n, r->utterances.items[i].text);
}

/* ---- one after another ------------------------------------------------------ */

/* What a run before has left of it: sound, and context of the next. */
static csm_status take_part(struct recital *r, size_t i, const struct part *part, csm_error *err)
{
    const struct utterance *u = &r->utterances.items[i];
    const csm_turn turn = {
        .text = u->text, .speaker = u->speaker, .codes = part->codes, .n_frames = part->n_frames};
    csm_status st = part->n_frames > 0 ? csm_session_add(r->context.session, &turn, err) : CSM_OK;
    if (st == CSM_OK)
        st = sink_push(&r->sink, part->samples, part->n_samples, err);
    recital_tell(r, i, part->n_frames, "resumed");
    return st;
}

static csm_status say(struct recital *r, size_t i, csm_error *err)
{
    const struct utterance *u = &r->utterances.items[i];
    struct part part;
    if (recital_has_part(r, i, &part)) {
        csm_status st = take_part(r, i, &part, err);
        part_close(&part);
        return st;
    }
    csm_result *result = NULL;
    csm_status st = speak_turn(r->what, &r->context, u->text, u->speaker,
                               r->what->options.seed + i, &r->sink, &result, err);
    if (st == CSM_OK) {
        recital_tell(r, i, result->n_frames, recital_ending(result->report));
        if (r->how->is_resumed)
            st = part_save(&r->keys[i], result, err);
    }
    csm_result_close(result);
    return st;
}

static csm_status say_in_turn(struct recital *r, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < r->utterances.n; i++) {
        recital_show_progress(r, i);
        if (r->how->script == NULL)
            csm_session_forget(r->context.session, 1);
        st = recital_open_utterance(r, i, err);
        if (st == CSM_OK)
            st = recital_close_utterance(r, i, say(r, i, err), err);
    }
    return st;
}

/* ---- all of it -------------------------------------------------------------- */

static csm_status print_json(const struct recital *r, csm_error *err)
{
    json_t *all = json_pack("{s:s, s:s, s:f, s:O, s:o}", "output", r->what->output, "version",
                            csm_version(), "seconds", r->seconds, "utterances", r->told, "warnings", warnings_json(&r->what->warnings));
    bool is_printed = all != NULL &&
                      json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                      putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(all);
    return is_printed ? CSM_OK
                      : csm_fail(err, CSM_BAD_FILE, "--json: standard output cannot be written");
}

/* Each speaker once. In a script those whom the model knows by name are cast, whoever else has
 * a recording. */
static void warn_of_speakers(struct recital *r)
{
    for (size_t i = 0; i < r->utterances.n; i++) {
        const int speaker = r->utterances.items[i].speaker;
        size_t first = 0;
        while (r->utterances.items[first].speaker != speaker)
            first++;
        if (first == i && (r->how->script == NULL || !csm_speaker_is_named(r->model, speaker)))
            speak_as(r->what, r->model, context_turns(&r->context), r->context.n_turns, speaker);
    }
}

csm_status recite(const struct recite *how, struct speak *w, csm_model *model, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    struct recital r = {.how = how, .what = w, .model = model, .told = json_array()};
    csm_status st = context_read(&w->context, w->speaker, model, &r.context, &w->warnings, err);
    int speaker = w->speaker >= 0        ? w->speaker
                  : r.context.speaker >= 0 ? r.context.speaker
                                         : info->default_speaker;
    struct cast cast;
    if (st == CSM_OK && how->script != NULL)
        st = cast_read(&how->cast, how->script, model, &r.context, &cast, err);
    if (st == CSM_OK)
        st = how->script != NULL
                 ? split_script(&r.utterances, w, how->script, &cast, !how->is_per_turn, err)
                 : split_text(&r.utterances, w, how->is_whole, speaker, err);
    if (st == CSM_OK && r.utterances.n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "nothing to say: the text is empty");
    if (st == CSM_OK && !how->is_per_turn) {
        st = sink_open(&r.sink, w->output, &w->written, w->is_played, info->sample_rate_hz,
                       &w->marking, info->digest, err);
        r.sink.is_joined = true;
        r.sink.warnings = &w->warnings;
    }
    if (st == CSM_OK && r.utterances.lead_ms > 0 && !how->is_per_turn)
        st = sink_pause(&r.sink, r.utterances.lead_ms, err);
    if (st == CSM_OK)
        warn_of_speakers(&r);
    if (st == CSM_OK)
        st = make_keys(&r, err);
    if (st == CSM_OK)
        st = how->n_batch > 0 ? say_in_batch(&r, err) : say_in_turn(&r, err);
    if (!how->is_per_turn)
        st = sink_close(&r.sink, st, err);
    w->has_sound = how->is_per_turn ? r.n_silent == 0 : r.seconds > 0.0;
    if (st == CSM_OK && how->is_resumed)
        parts_remove(w->output);
    if (st == CSM_OK && w->is_json)
        st = print_json(&r, err);
    json_decref(r.told);
    free(r.keys);
    free_utterances(&r.utterances);
    context_free(&r.context);
    return st;
}
