/* SPDX-License-Identifier: Apache-2.0 */
#include "recite.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/text.h>

#include "complain.h"
#include "parts.h"

enum {
    MAX_SENTENCE_BYTES = 240, /* some 16 s; models are trained on less */
    PAUSE_MS = 160
};

/* ---- what is to be said ------------------------------------------------------ */

struct utterance {
    char *text;
    int speaker;
};

struct utterances {
    struct utterance *items;
    size_t n;
};

static void free_utterances(struct utterances *u)
{
    for (size_t i = 0; i < u->n; i++)
        csm_free(u->items[i].text);
    free(u->items);
}

/* Append text [n], made speakable; white space alone is left out. */
static csm_status add(struct utterances *u, const struct speak *w, const char *text, size_t n,
                      int speaker, csm_error *err)
{
    struct utterance *items = realloc(u->items, (u->n + 1) * sizeof *items);
    char *part = malloc(n + 1);
    if (items != NULL)
        u->items = items;
    if (items == NULL || part == NULL) {
        free(part);
        return complain(err, CSM_NO_MEMORY, "text: out of memory");
    }
    memcpy(part, text, n);
    part[n] = '\0';
    char *spoken = NULL;
    csm_status st = speakable(w, part, &spoken, err);
    free(part);
    if (st != CSM_OK)
        return st;
    if (spoken[strspn(spoken, " \t\r\n")] == '\0')
        csm_free(spoken);
    else
        u->items[u->n++] = (struct utterance){spoken, speaker};
    return CSM_OK;
}

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static csm_status split_sentences(struct utterances *u, const struct speak *w, int speaker,
                                  csm_error *err)
{
    csm_status st = CSM_OK;
    for (const char *p = skip_space(w->text); st == CSM_OK && *p != '\0';) {
        size_t n = csm_text_sentence(p, MAX_SENTENCE_BYTES);
        st = add(u, w, p, n, speaker, err);
        p = skip_space(p + n);
    }
    return st;
}

bool has_sentences(const char *text)
{
    const char *p = skip_space(text);
    return *skip_space(p + csm_text_sentence(p, MAX_SENTENCE_BYTES)) != '\0';
}

static csm_status split_script(struct utterances *u, const struct speak *w, const char *script,
                               csm_error *err)
{
    csm_status st = CSM_OK;
    size_t number = 1;
    for (const char *line = script; st == CSM_OK && *line != '\0'; number++) {
        size_t length = strcspn(line, "\n");
        const char *p = line + strspn(line, " \t");
        if (p < line + length && *p != '\r') {
            char *end;
            long speaker = strtol(p + (*p == '['), &end, 10);
            if (*p != '[' || *end != ']' || end == p + 1 || speaker < 0 || speaker > 1000000)
                return complain(err, CSM_BAD_FORMAT,
                                "--script: line %zu: expected [speaker] text, as in [0] Hello.",
                                number);
            st = add(u, w, end + 1, (size_t)(line + length - end - 1), (int)speaker, err);
        }
        line += length + (line[length] == '\n');
    }
    return st;
}

/* The text without the space after "[0]". */
static const char *words(const struct utterance *u)
{
    return skip_space(u->text);
}

/* ---- saying it ----------------------------------------------------------------- */

struct recital {
    const struct recite *how;
    struct speak *what;
    csm_model *model;
    csm_session *session;
    struct utterances utterances;
    struct sink sink; /* of all, or of the one that is spoken now */
    json_t *told;     /* an object an utterance */
    double seconds;
};

static void tell(struct recital *r, const struct utterance *u, size_t n_frames, const char *ended)
{
    double seconds = (double)n_frames * csm_model_describe(r->model)->frame_ms / 1e3;
    json_array_append_new(r->told, json_pack("{s:s, s:i, s:I, s:f, s:s}", "text", words(u),
                                             "speaker", u->speaker, "frames", (json_int_t)n_frames,
                                             "seconds", seconds, "ended", ended));
    r->seconds += seconds;
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
        return complain(err, CSM_BAD_ARG, "--output: the path is too long");
    return sink_open(&r->sink, path, w->format, w->is_played,
                     csm_model_describe(r->model)->sample_rate_hz, err);
}

static csm_status say(struct recital *r, size_t i, csm_error *err)
{
    const struct utterance *u = &r->utterances.items[i];
    const csm_model_info *info = csm_model_describe(r->model);
    const struct part_key key = {r->what->output, i,          words(u),
                                 info->digest,    u->speaker, r->what->options.seed + i};
    struct part part;
    if (r->how->is_resumed && part_open(&key, info->n_codebooks, &part)) {
        const csm_turn turn = {.text = words(u),
                               .speaker = u->speaker,
                               .codes = part.codes,
                               .n_frames = part.n_frames};
        csm_status st = part.n_frames > 0 ? csm_session_add(r->session, &turn, err) : CSM_OK;
        if (st == CSM_OK)
            st = sink_push(&r->sink, part.samples, part.n_samples, err);
        tell(r, u, part.n_frames, "resumed");
        part_close(&part);
        return st;
    }
    csm_result *result = NULL;
    csm_status st = speak_turn(r->what, r->session, words(u), u->speaker, key.seed, &r->sink,
                               &result, err);
    if (st == CSM_OK) {
        const csm_report *report = &result->report;
        tell(r, u, result->n_frames,
             report->has_ended           ? "by itself"
             : report->guarded[0] != '\0' ? report->guarded
                                         : "length limit");
        if (r->how->is_resumed)
            st = part_save(&key, result, err);
    }
    csm_result_free(result);
    return st;
}

static csm_status say_all(struct recital *r, csm_error *err)
{
    csm_status st = CSM_OK;
    const bool has_progress = !r->what->is_quiet && !r->what->is_debug && isatty(2);
    for (size_t i = 0; st == CSM_OK && i < r->utterances.n; i++) {
        if (has_progress)
            fprintf(stderr, "%zu of %zu: %s\n", i + 1, r->utterances.n,
                    words(&r->utterances.items[i]));
        if (r->how->script == NULL)
            csm_session_forget(r->session, 1);
        if (r->how->is_per_turn)
            st = open_numbered(r, i, err);
        if (st == CSM_OK)
            st = say(r, i, err);
        if (r->how->is_per_turn)
            st = sink_close(&r->sink, st, err);
        else if (st == CSM_OK)
            st = sink_pause(&r->sink, i + 1 < r->utterances.n ? PAUSE_MS : 0, err);
    }
    return st;
}

static csm_status print_json(const struct recital *r, csm_error *err)
{
    json_t *all = json_pack("{s:s, s:s, s:f, s:O}", "output", r->what->output, "version",
                            csm_version(), "seconds", r->seconds, "utterances", r->told);
    bool is_printed = all != NULL &&
                      json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                      putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(all);
    return is_printed ? CSM_OK
                      : complain(err, CSM_BAD_FILE, "--json: standard output cannot be written");
}

csm_status recite(const struct recite *how, struct speak *w, csm_model *model, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    struct recital r = {.how = how, .what = w, .model = model, .told = json_array()};
    struct context context;
    csm_status st = context_read(&w->context, model, &context, err);
    r.session = context.session;
    int speaker = w->speaker >= 0        ? w->speaker
                  : context.speaker >= 0 ? context.speaker
                                         : info->default_speaker;
    if (st == CSM_OK)
        st = how->script != NULL ? split_script(&r.utterances, w, how->script, err)
                                 : split_sentences(&r.utterances, w, speaker, err);
    if (st == CSM_OK && r.utterances.n == 0)
        st = complain(err, CSM_BAD_FORMAT, "nothing to say: the text is empty");
    if (st == CSM_OK && !how->is_per_turn) {
        st = sink_open(&r.sink, w->output, w->format, w->is_played, info->sample_rate_hz, err);
        r.sink.is_joined = true;
    }
    if (st == CSM_OK)
        st = say_all(&r, err);
    if (!how->is_per_turn)
        st = sink_close(&r.sink, st, err);
    if (st == CSM_OK && how->is_resumed)
        parts_remove(w->output, r.utterances.n);
    if (st == CSM_OK && w->is_json)
        st = print_json(&r, err);
    json_decref(r.told);
    free_utterances(&r.utterances);
    context_free(&context);
    return st;
}
