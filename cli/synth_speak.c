/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_speak.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csm/text.h>
#include <csm/voices.h>

#include "made_of.h"
#include "parts.h"
#include "recital.h"

enum { PATH_BYTES = 4096 };

/* ---- before ------------------------------------------------------------------- */

static csm_status count_ids(const csm_model *model, const char *text, int speaker, size_t *n,
                            csm_error *err)
{
    int32_t *ids;
    size_t n_ids;
    csm_status st = csm_model_tokenize(model, text, speaker, &ids, &n_ids, err);
    if (st == CSM_OK) {
        csm_free(ids);
        *n += n_ids;
    }
    return st;
}

/* Whose voice, where the item's own context does not tell: NULL is the command line's. */
static int speaker_of(const struct synth *s, const struct synth_item *item,
                      const struct context *own)
{
    return item->speaker >= 0                              ? item->speaker
           : own != NULL && own->speaker >= 0              ? own->speaker
           : s->what->speaker >= 0                         ? s->what->speaker
           : own == NULL && s->context.speaker >= 0        ? s->context.speaker
                                                           : csm_model_describe(s->model)
                                                                 ->default_speaker;
}

/* With the command line's context; that of its own is read when it is spoken. */
static csm_status check_room(const struct synth *s, const struct synth_item *item,
                             const char *spoken, csm_error *err)
{
    const size_t n_turns = synth_has_context(item) ? 0 : s->context.n_turns;
    const int speaker = speaker_of(s, item, NULL);
    const size_t room = csm_model_describe(s->model)->max_positions;
    csm_generate_options options;
    size_t n = 0;
    csm_status st =
        speak_options(s->what, s->model, s->turns, n_turns, spoken, speaker, &options, err);
    if (st == CSM_OK)
        st = count_ids(s->model, spoken, speaker, &n, err);
    for (size_t i = 0; st == CSM_OK && i < n_turns; i++) {
        n += s->turns[i].n_frames + 1;
        st = count_ids(s->model, s->turns[i].text, s->turns[i].speaker, &n, err);
    }
    if (st == CSM_OK && n + options.max_frames > room)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "too long: %zu positions and %zu frames, expected at most %zu together", n,
                      options.max_frames, room);
    return st;
}

static csm_status check_context(const struct synth *s, const struct synth_item *item,
                                csm_error *err)
{
    const struct context_options *c = &item->context;
    csm_voice voice;
    csm_error inner;
    if (c->voice != NULL && csm_voice_find(s->model, c->voice, &voice, &inner) != CSM_OK)
        return csm_fail(err, CSM_BAD_FORMAT, "\"voice\": %s", inner.text);
    if (c->voice != NULL && voice.path[0] == '\0' && item->speaker >= 0 &&
        item->speaker != voice.speaker)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "\"speaker\": %d, but voice %s is speaker %d of the model", item->speaker,
                        c->voice, voice.speaker);
    for (size_t i = 0; i < c->audio.n; i++)
        if (access(c->audio.items[i], R_OK) != 0)
            return csm_fail(err, CSM_BAD_FORMAT, "\"context\": %s: %s", c->audio.items[i],
                            strerror(errno));
    return CSM_OK;
}

/* Words alone are spoken as they are, or nearly so: no need to normalize a million of them. */
static bool is_words(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,?!'")] ==
               '\0' &&
           text[strspn(text, " .,?!'")] != '\0';
}

csm_status synth_check(const struct synth *s, const struct synth_item *item, csm_error *err)
{
    char *spoken = NULL;
    csm_status st = check_context(s, item, err);
    if (st == CSM_OK && is_words(item->text))
        return check_room(s, item, item->text, err);
    if (st == CSM_OK)
        st = speakable(s->what, item->text, &spoken, err);
    if (st == CSM_OK && spoken[strspn(spoken, " \t\r\n")] == '\0')
        st = csm_fail(err, CSM_BAD_FORMAT, "\"text\": nothing in it is spoken");
    if (st == CSM_OK)
        st = check_room(s, item, spoken, err);
    csm_free(spoken);
    return st;
}

static uint64_t seed_of(const struct synth *s, const struct synth_item *item)
{
    return item->has_seed ? item->seed : synth_seed(item->id, s->what->options.seed);
}

void synth_made_of(const struct synth *s, const struct synth_item *item, char digest[33])
{
    const struct context_options *c = &item->context;
    const uint64_t seed = seed_of(s, item);
    memcpy(digest, s->made_of, 33);
    made_of_text(digest, item->text);
    part_digest(digest, &item->speaker, sizeof item->speaker);
    part_digest(digest, &seed, sizeof seed);
    made_of_text(digest, c->voice != NULL ? c->voice : "");
    for (size_t i = 0; i < c->audio.n; i++) {
        made_of_text(digest, c->audio.items[i]);
        made_of_text(digest, c->text.items[i]);
        made_of_text(digest, c->speaker.items[i]);
    }
}

/* ---- its files ------------------------------------------------------------------ */

static csm_status path_of(const struct synth *s, const char *name, const char *ending,
                          char path[PATH_BYTES], csm_error *err)
{
    const int n = snprintf(path, PATH_BYTES, "%s/%s%s", s->directory, name, ending);
    return n > 0 && n < PATH_BYTES
               ? CSM_OK
               : csm_fail(err, CSM_BAD_FILE, "%s: the path of %s is too long", s->directory, name);
}

static bool has_size(const struct synth *s, const json_t *file, const json_t *size)
{
    char path[PATH_BYTES];
    struct stat info;
    csm_error unread;
    if (json_is_null(file)) /* it has no sound */
        return true;
    return json_is_string(file) &&
           path_of(s, json_string_value(file), "", path, &unread) == CSM_OK &&
           stat(path, &info) == 0 &&
           (size == NULL ? info.st_size > 0
                         : (json_int_t)info.st_size == json_integer_value(size));
}

bool synth_is_whole(const struct synth *s, const json_t *line, const char *made_of)
{
    const char *was = json_string_value(json_object_get(line, "made_of"));
    return was != NULL && strcmp(was, made_of) == 0 &&
           has_size(s, json_object_get(line, "audio_filepath"), json_object_get(line, "bytes")) &&
           (!s->has_codes || has_size(s, json_object_get(line, "codes_filepath"), NULL));
}

static csm_status write_sound(const struct synth *s, const char *path, const csm_result *r,
                              csm_error *err)
{
    const csm_model_info *info = csm_model_describe(s->model);
    struct sink sink;
    csm_status st = sink_open(&sink, path, &s->what->written, false, info->sample_rate_hz,
                              &s->what->marking, info->digest, err);
    if (st != CSM_OK)
        return st;
    return sink_close(&sink, sink_push(&sink, r->samples, r->n_samples, err), err);
}

/* Whatever a run with other settings has left of one without sound goes. */
static csm_status write_files(const struct synth *s, const struct synth_item *item,
                              const char *spoken, int speaker, const csm_result *r, json_t *line,
                              csm_error *err)
{
    char sound[PATH_BYTES], codes[PATH_BYTES];
    struct stat info = {0};
    csm_status st = path_of(s, item->name, s->ending, sound, err);
    if (st == CSM_OK)
        st = path_of(s, item->name, ".safetensors", codes, err);
    if (st != CSM_OK)
        return st;
    const bool has_sound = r->n_frames > 0;
    if (!has_sound) {
        unlink(sound);
        if (s->has_codes)
            unlink(codes);
    }
    if (has_sound)
        st = write_sound(s, sound, r, err);
    if (has_sound && st == CSM_OK && s->has_codes)
        st = csm_result_save(r, s->model, spoken, speaker, codes, err);
    if (has_sound && st == CSM_OK && stat(sound, &info) != 0)
        st = csm_fail(err, CSM_BAD_FILE, "%s: %s", sound, strerror(errno));
    json_object_set_new(line, "audio_filepath",
                        has_sound ? json_sprintf("%s%s", item->name, s->ending) : json_null());
    json_object_set_new(line, "bytes", json_integer((json_int_t)info.st_size));
    if (s->has_codes)
        json_object_set_new(line, "codes_filepath",
                            has_sound ? json_sprintf("%s.safetensors", item->name) : json_null());
    return st;
}

/* ---- its speech ------------------------------------------------------------------- */

struct stopper {
    bool (*is_stopped)(void *user);
    void *user;
};

static bool on_frame(void *user, const csm_frame *frame)
{
    const struct stopper *stopper = user;
    (void)frame;
    return !stopper->is_stopped(stopper->user);
}

/* 2: it ended by itself; 1: the limit or the guard did; 0: no sound. */
static int rank_of(const csm_result *r)
{
    return r->n_frames == 0 ? 0 : 1 + r->report->has_ended;
}

/* The first of the best attempts; *n receives how many there were. */
static csm_status attempt(const struct synth *s, const csm_request *request,
                          csm_generate_options *options, csm_result **best, size_t *n,
                          csm_error *err)
{
    csm_status st = CSM_OK;
    *best = NULL;
    for (*n = 0; st == CSM_OK && *n <= s->n_retries && (*best == NULL || rank_of(*best) < 2);
         ++*n, options->seed++) {
        csm_result *result = NULL;
        st = csm_generate(s->model, request, options, &result, err);
        if (st == CSM_OK && (*best == NULL || rank_of(result) > rank_of(*best))) {
            csm_result_close(*best);
            *best = result;
        } else {
            csm_result_close(result);
        }
    }
    return st;
}

/* Codes of remarks about it, as csm generate would tell them. */
static json_t *warnings_of(const struct synth *s, const char *text, const char *spoken, int speaker,
                           const csm_turn *turns, size_t n_turns, size_t n_samples)
{
    json_t *list = json_array();
    const char *script;
    csm_remark remark;
    if (csm_remark_speaker(s->model, speaker, turns, n_turns, &remark))
        json_array_append_new(list, json_string(remark.code));
    if (s->is_embedded && csm_text_unspoken(spoken, &script) > 0)
        json_array_append_new(list, json_string("unspoken-letters"));
    if (s->what->is_normalized && csm_remark_thoughts(text, &remark))
        json_array_append_new(list, json_string(remark.code));
    if (s->what->marking.is_on && n_samples > 0 &&
        csm_remark_mark(n_samples, csm_model_describe(s->model)->sample_rate_hz, &remark))
        json_array_append_new(list, json_string(remark.code));
    return list;
}

static json_t *describe(const struct synth *s, const struct synth_item *item, const char *spoken,
                        int speaker, const csm_result *r, size_t n_attempts)
{
    const double rate_hz = csm_model_describe(s->model)->sample_rate_hz;
    char made_of[33];
    synth_made_of(s, item, made_of);
    json_t *line = json_pack("{s:s, s:n, s:s, s:f, s:i, s:I, s:I, s:s, s:s}", "id", item->id,
                             "audio_filepath", "text", item->text, "duration",
                             (double)r->n_samples / rate_hz, "speaker", speaker, "seed",
                             (json_int_t)r->report->seed, "attempts", (json_int_t)n_attempts,
                             "ended", r->n_frames == 0 ? "no sound" : recital_ending(r->report),
                             "made_of", made_of);
    /* More than a JSON integer of many readers holds: its digits, as it may be given. */
    if (item->has_long_seed && r->report->seed > INT64_MAX)
        json_object_set_new(line, "seed", json_sprintf("%" PRIu64, r->report->seed));
    if (strcmp(spoken, item->text) != 0)
        json_object_set_new(line, "normalized_text", json_string(spoken));
    return line;
}

static csm_status speak_in(const struct synth *s, const struct synth_item *item,
                           const char *spoken, const csm_turn *turns, size_t n_turns, int speaker,
                           struct stopper *stopper, json_t **line, csm_error *err)
{
    csm_generate_options options;
    csm_status st =
        speak_options(s->what, s->model, turns, n_turns, spoken, speaker, &options, err);
    if (st != CSM_OK)
        return st;
    csm_request request = csm_request_of(spoken, speaker);
    request.context = turns;
    request.n_context = n_turns;
    options.seed = seed_of(s, item);
    options.on_frame = on_frame;
    options.user = stopper;
    csm_result *result = NULL;
    size_t n_attempts = 0;
    st = attempt(s, &request, &options, &result, &n_attempts, err);
    if (st == CSM_OK) {
        *line = describe(s, item, spoken, speaker, result, n_attempts);
        json_t *warnings = warnings_of(s, item->text, spoken, speaker, turns, n_turns, result->n_samples);
        if (json_array_size(warnings) > 0)
            json_object_set(*line, "warnings", warnings);
        json_decref(warnings);
        st = write_files(s, item, spoken, speaker, result, *line, err);
    }
    csm_result_close(result);
    return st;
}

static csm_status speak_words(const struct synth *s, const struct synth_item *item,
                              const char *spoken, bool (*is_stopped)(void *user), void *user, json_t **line,
                              csm_error *err)
{
    struct stopper stopper = {is_stopped, user};
    if (!synth_has_context(item))
        return speak_in(s, item, spoken, s->turns, s->context.n_turns, speaker_of(s, item, NULL),
                        &stopper, line, err);
    struct context own;
    struct warnings warnings = {0};
    csm_status st = context_read(&item->context, item->speaker, s->model, &own, &warnings, err);
    bool is_of_line = st == CSM_BAD_FILE;
    if (st == CSM_OK)
        st = speak_in(s, item, spoken, context_turns(&own), own.n_turns,
                      speaker_of(s, item, &own), &stopper, line, err);
    is_of_line = is_of_line || st == CSM_BAD_ARG;
    context_free(&own);
    warnings_free(&warnings);
    return is_of_line ? CSM_BAD_FORMAT : st;
}

csm_status synth_speak(const struct synth *s, const struct synth_item *item,
                       bool (*is_stopped)(void *user), void *user, json_t **line, csm_error *err)
{
    char *spoken = NULL;
    *line = NULL;
    csm_status st = speakable(s->what, item->text, &spoken, err);
    if (st == CSM_OK)
        st = speak_words(s, item, spoken, is_stopped, user, line, err);
    csm_free(spoken);
    return st;
}
