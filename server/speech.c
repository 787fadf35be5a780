/* SPDX-License-Identifier: Apache-2.0
 *
 * speech.c - sentences, streams, and the news of the scheduler's thread. */
#include "speech.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include <csm/remarks.h>
#include <csm/text.h>


enum {
    MAX_SENTENCE_BYTES = 240, /* some 16 s; models are trained on less */
    PAUSE_MS = 160,
    MAX_SILENCE_MS = 60000, /* that texts may ask for */
    MAX_SOUND_MS = 600000,
    N_AHEAD = 4
};

/* What the scheduler's thread knows of a generation: it may outlive the speech. */
struct notice {
    struct speeches *all;
    struct speech *speech; /* NULL: nobody listens any more */
    csm_generation *generation;
    size_t model; /* which of the models draws it */
    bool is_listed;
    struct notice *next;
};

struct sentence {
    char *text;   /* as it is spoken, not empty */
    int pause_ms; /* that is asked for after it; 0: none */
};

enum place { IDLE, QUEUED, RUNNING };

struct speech {
    struct speeches *all;
    struct speech_setup setup;
    void (*on_news)(void *owner);
    void *owner;

    struct sentence *sentences; /* [n_sentences] */
    size_t n_sentences, capacity, next;
    int lead_ms;          /* of silence before the first */
    int silence_left_ms;  /* that its texts may still ask for */
    bool is_joined, is_complete;

    enum place place;
    TAILQ_ENTRY(speech) entry; /* of the queue */
    double queued_at, queued_s;
    bool has_news; /* listed among those to be told */
    TAILQ_ENTRY(speech) told;

    struct notice *notice; /* of the generation under way; NULL: none */
    int32_t *codes;        /* [n_codes] of the sentence under way */
    size_t n_codes, codes_capacity;
    struct prompt *last; /* the sentence before */
    size_t frames_left;  /* of all that may be drawn */

    float *held, *given; /* a frame that is handed over when the next is there */
    size_t n_held, n_given, held_capacity, given_capacity;
    bool is_ending; /* DONE comes next */

    struct speech_tally tally;
    bool has_failed;
    csm_status status;
    csm_error error;
};
TAILQ_HEAD(speech_list, speech);

enum { MAX_MODELS = 16 };

struct speeches {
    csm_model *model; /* the first: all tokenize alike */
    csm_model *models[MAX_MODELS];
    size_t n_drawn[MAX_MODELS]; /* generations that each is drawing */
    size_t n_models;
    const csm_model_info *info;
    struct workers *workers;
    size_t max_streams, max_queue, n_running, n_waiting;
    struct speech_list queue, told;
    struct event *news;
    bool is_stopped;
    pthread_mutex_t mutex; /* of what follows, and of the notices' is_listed */
    struct notice *listed;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- news --------------------------------------------------------------------- */

/* Tell the owner, on the loop's next turn. */
static void tell(struct speech *s)
{
    if (s->has_news)
        return;
    s->has_news = true;
    TAILQ_INSERT_TAIL(&s->all->told, s, told);
    event_active(s->all->news, 0, 0);
}

/* The scheduler's thread. */
static void on_ready(void *user)
{
    struct notice *n = user;
    struct speeches *all = n->all;
    pthread_mutex_lock(&all->mutex);
    const bool is_first = !n->is_listed;
    if (is_first) {
        n->is_listed = true;
        n->next = all->listed;
        all->listed = n;
    }
    pthread_mutex_unlock(&all->mutex);
    if (is_first)
        event_active(all->news, 0, 0);
}

static void on_news(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct speeches *all = user;
    pthread_mutex_lock(&all->mutex);
    struct notice *n = all->listed;
    all->listed = NULL;
    for (struct notice *next; n != NULL; n = next) {
        next = n->next;
        n->is_listed = false;
        if (n->speech != NULL && !n->speech->has_news) {
            n->speech->has_news = true;
            TAILQ_INSERT_TAIL(&all->told, n->speech, told);
        }
    }
    pthread_mutex_unlock(&all->mutex);
    size_t n_told = 0;
    struct speech *s;
    TAILQ_FOREACH(s, &all->told, told)
        n_told++;
    /* An owner may close any speech, and others may get news meanwhile: those have the
     * loop's next turn. */
    while (n_told-- > 0 && (s = TAILQ_FIRST(&all->told)) != NULL) {
        TAILQ_REMOVE(&all->told, s, told);
        s->has_news = false;
        s->on_news(s->owner);
    }
    if (!TAILQ_EMPTY(&all->told))
        event_active(all->news, 0, 0);
}

/* ---- streams ---------------------------------------------------------------------- */

/* Give free streams to those that wait longest. */
static void admit(struct speeches *all)
{
    struct speech *s;
    while (all->n_running < all->max_streams && (s = TAILQ_FIRST(&all->queue)) != NULL) {
        TAILQ_REMOVE(&all->queue, s, entry);
        all->n_waiting--;
        all->n_running++;
        s->place = RUNNING;
        s->queued_s += now_s() - s->queued_at;
        tell(s);
    }
}

static void want_stream(struct speech *s)
{
    if (s->place != IDLE)
        return;
    struct speeches *all = s->all;
    s->place = QUEUED;
    s->queued_at = now_s();
    TAILQ_INSERT_TAIL(&all->queue, s, entry);
    all->n_waiting++;
    admit(all);
}

static void leave_stream(struct speech *s)
{
    struct speeches *all = s->all;
    if (s->place == RUNNING)
        all->n_running--;
    if (s->place == QUEUED) {
        TAILQ_REMOVE(&all->queue, s, entry);
        all->n_waiting--;
        s->queued_s += now_s() - s->queued_at;
    }
    s->place = IDLE;
    admit(all);
}

/* ---- generations ------------------------------------------------------------------- */

static void close_generation(void *job)
{
    csm_generation_close(((struct notice *)job)->generation);
}

static void forget_notice(void *job)
{
    struct notice *n = job;
    struct speeches *all = n->all;
    pthread_mutex_lock(&all->mutex);
    if (n->is_listed) {
        struct notice **at = &all->listed;
        while (*at != n)
            at = &(*at)->next;
        *at = n->next;
    }
    pthread_mutex_unlock(&all->mutex);
    free(n);
}

/* Closing waits for the frame that is being drawn: not on the loop's thread. */
static void drop_generation(struct speech *s)
{
    struct notice *n = s->notice;
    if (n == NULL)
        return;
    s->notice = NULL;
    s->all->n_drawn[n->model]--;
    pthread_mutex_lock(&n->all->mutex);
    n->speech = NULL;
    pthread_mutex_unlock(&n->all->mutex);
    csm_generation_cancel(n->generation);
    if (!workers_do(s->all->workers, close_generation, forget_notice, n)) {
        close_generation(n);
        forget_notice(n);
    }
}

static void fail(struct speech *s, csm_status status)
{
    s->has_failed = true;
    s->status = status;
    drop_generation(s);
    leave_stream(s);
}

static size_t count_tokens(const struct speeches *all, const char *text, int speaker)
{
    int32_t *ids;
    size_t n = 0;
    csm_error err;
    if (csm_model_tokenize(all->model, text, speaker, &ids, &n, &err) == CSM_OK)
        csm_free(ids);
    return n;
}

/* Positions of the turns in a prompt: text, frames, and the frame that ends each. */
static size_t count_positions(const struct speeches *all, const struct prompt *prompt)
{
    size_t n = 0;
    for (size_t i = 0; prompt != NULL && i < prompt->n; i++)
        n += count_tokens(all, prompt->turns[i].text, prompt->turns[i].speaker) +
             prompt->turns[i].n_frames + 1;
    return n;
}

/* How many frames the sentence may take: as asked for, within the model's room. The
 * sentence before goes if there is none beside it. */
static size_t choose_frames(struct speech *s, const char *text)
{
    const struct speeches *all = s->all;
    const struct prompt *voice = s->setup.prompt;
    size_t wanted = s->frames_left;
    if (s->setup.max_frames == 0) {
        const size_t usual = csm_frames_for_text(all->model, voice != NULL ? voice->turns : NULL,
                                                 voice != NULL ? voice->n : 0, text,
                                                 s->setup.speaker) +
                             s->setup.options.min_frames;
        wanted = usual < wanted ? usual : wanted;
    }
    const size_t n_text = count_tokens(all, text, s->setup.speaker);
    const size_t n_voice = count_positions(all, s->setup.prompt);
    s->tally.n_text += n_text;
    s->tally.n_prompt += n_voice;
    const size_t used = n_text + n_voice, room = all->info->max_positions;
    if (s->last != NULL && used + wanted + count_positions(all, s->last) > room) {
        prompt_release(s->last);
        s->last = NULL;
    }
    return used < room && used + wanted > room && s->setup.max_frames > 0 ? room - used : wanted;
}

static csm_status open_generation(struct speech *s, struct notice *n, csm_error *err)
{
    const char *text = s->sentences[s->next].text;
    csm_generate_options options = s->setup.options;
    options.seed += s->next;
    options.max_frames = choose_frames(s, text);
    if (options.min_frames > options.max_frames)
        options.min_frames = options.max_frames;
    options.n_ahead = N_AHEAD;
    options.is_live = true;
    options.user = n;
    options.on_ready = on_ready;
    const size_t n_voice = s->setup.prompt != NULL ? s->setup.prompt->n : 0;
    csm_turn *turns = calloc(n_voice + 1, sizeof *turns);
    if (turns == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
    for (size_t i = 0; i < n_voice; i++)
        turns[i] = s->setup.prompt->turns[i];
    if (s->last != NULL)
        turns[n_voice] = s->last->turns[0];
    csm_request request = csm_request_of(text, s->setup.speaker);
    request.context = turns;
    request.n_context = n_voice + (s->last != NULL);
    const csm_status st =
        csm_generation_open(s->all->models[n->model], &request, &options, &n->generation, err);
    free(turns);
    return st;
}

static bool begin_sentence(struct speech *s)
{
    struct notice *n = calloc(1, sizeof *n);
    csm_status st = CSM_NO_MEMORY;
    if (n == NULL) {
        fail(s, csm_fail(&s->error, st, "speech: out of memory"));
        return false;
    }
    n->all = s->all;
    n->speech = s;
    for (size_t i = 1; i < s->all->n_models; i++)
        if (s->all->n_drawn[i] < s->all->n_drawn[n->model])
            n->model = i;
    s->n_codes = 0;
    st = open_generation(s, n, &s->error);
    if (st != CSM_OK) {
        forget_notice(n);
        fail(s, st);
        return false;
    }
    s->notice = n;
    s->all->n_drawn[n->model]++;
    return true;
}

/* ---- sound ------------------------------------------------------------------------- */

static bool keep_codes(struct speech *s, const csm_frame *frame)
{
    const size_t n = s->all->info->n_codebooks;
    if (s->n_codes + n > s->codes_capacity) {
        const size_t capacity = 2 * s->codes_capacity + 128 * n;
        int32_t *grown = realloc(s->codes, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        s->codes = grown;
        s->codes_capacity = capacity;
    }
    memcpy(s->codes + s->n_codes, frame->codes, n * sizeof *s->codes);
    s->n_codes += n;
    return true;
}

static bool hold(struct speech *s, const float *samples, size_t n)
{
    if (n > s->held_capacity) {
        float *grown = realloc(s->held, n * sizeof *grown);
        if (grown == NULL)
            return false;
        s->held = grown;
        s->held_capacity = n;
    }
    memcpy(s->held, samples, n * sizeof *samples);
    s->n_held = n;
    return true;
}

/* What is held becomes what is given. */
static void give_held(struct speech *s)
{
    float *samples = s->held;
    const size_t capacity = s->held_capacity;
    s->held = s->given;
    s->held_capacity = s->given_capacity;
    s->given = samples;
    s->given_capacity = capacity;
    s->n_given = s->n_held;
    s->n_held = 0;
}

/* What is held, its last 10 ms faded where something follows, then silence. */
static bool give_pause(struct speech *s, int pause_ms)
{
    const size_t rate = (size_t)s->all->info->sample_rate_hz, n_fade = rate / 100;
    const size_t n_silent = rate * (size_t)pause_ms / 1000;
    give_held(s);
    float *grown = realloc(s->given, (s->n_given + n_silent + 1) * sizeof *grown);
    if (grown == NULL)
        return false;
    s->given = grown;
    s->given_capacity = s->n_given + n_silent + 1;
    for (size_t i = 0; i < n_fade && i < s->n_given; i++)
        s->given[s->n_given - 1 - i] *= (float)i / (float)n_fade;
    memset(s->given + s->n_given, 0, n_silent * sizeof *s->given);
    s->n_given += n_silent;
    return true;
}

/* The sentence is drawn: what it was, and what the next one has as context. */
static bool end_sentence(struct speech *s)
{
    const csm_report report = csm_report_of(s->notice->generation);
    const size_t n_frames = s->n_codes / s->all->info->n_codebooks;
    s->tally.n_sentences++;
    s->tally.is_cut = s->tally.is_cut || (!report.has_ended && report.guarded[0] == '\0');
    if (report.guarded[0] != '\0')
        s->tally.guarded = report.guarded;
    s->frames_left -= n_frames < s->frames_left ? n_frames : s->frames_left;
    if (n_frames > 0) {
        const csm_turn turn = {.text = s->sentences[s->next].text,
                               .speaker = s->setup.speaker,
                               .codes = s->codes,
                               .n_frames = n_frames};
        prompt_release(s->last);
        s->last = prompt_new(&turn, 1, s->all->info->n_codebooks);
        if (s->last == NULL)
            return false;
    }
    drop_generation(s);
    return true;
}

/* ---- what is taken ------------------------------------------------------------------ */

static struct speech_piece piece(const struct speech *s, enum speech_kind kind)
{
    return (struct speech_piece){.kind = kind,
                                 .sentence = s->next,
                                 .text = s->next < s->n_sentences ? s->sentences[s->next].text : "",
                                 .status = s->status,
                                 .message = s->has_failed ? s->error.text : ""};
}

static struct speech_piece failed(struct speech *s, csm_status status)
{
    fail(s, status);
    return piece(s, SPEECH_FAILED);
}

static struct speech_piece sound(const struct speech *s, const float *samples, size_t n)
{
    struct speech_piece p = piece(s, SPEECH_SOUND);
    p.samples = samples;
    p.n_samples = n;
    return p;
}

/* A frame; where sounds are joined, the one before it is given for it. */
static struct speech_piece take_frame(struct speech *s, const csm_frame *frame)
{
    s->tally.n_frames++;
    if (!keep_codes(s, frame))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    if (!s->is_joined)
        return sound(s, frame->samples, frame->n_samples);
    give_held(s);
    if (!hold(s, frame->samples, frame->n_samples))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    return sound(s, s->given, s->n_given);
}

static struct speech_piece take_end(struct speech *s)
{
    const bool is_last = s->next + 1 == s->n_sentences && s->is_complete;
    const int asked_ms = s->sentences[s->next].pause_ms;
    const int pause_ms = asked_ms > 0 ? asked_ms : s->is_joined && !is_last ? PAUSE_MS : 0;
    if (!end_sentence(s) || !give_pause(s, pause_ms))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    s->is_ending = true;
    return sound(s, s->given, s->n_given);
}

static struct speech_piece take_from_generation(struct speech *s)
{
    csm_poll found = CSM_POLL_PENDING;
    const csm_frame *frame = NULL;
    const csm_status st = csm_generation_poll(s->notice->generation, 0, &found, &frame, &s->error);
    if (st != CSM_OK)
        return failed(s, st);
    if (found == CSM_POLL_PENDING)
        return piece(s, SPEECH_NOTHING);
    return found == CSM_POLL_FRAME ? take_frame(s, frame) : take_end(s);
}

/* The silence before the first sentence. */
static struct speech_piece take_lead(struct speech *s)
{
    const int lead_ms = s->lead_ms;
    s->lead_ms = 0;
    if (!give_pause(s, lead_ms))
        return failed(s, csm_fail(&s->error, CSM_NO_MEMORY, "speech: out of memory"));
    return sound(s, s->given, s->n_given);
}

struct speech_piece speech_take(struct speech *s)
{
    if (s->has_failed)
        return piece(s, SPEECH_FAILED);
    if (s->is_ending) {
        const struct speech_piece done = piece(s, SPEECH_DONE);
        s->is_ending = false;
        s->next++;
        return done;
    }
    if (s->notice != NULL)
        return take_from_generation(s);
    if (s->next < s->n_sentences && s->frames_left == 0)
        s->tally.is_cut = true;
    if (s->next < s->n_sentences && s->frames_left > 0) {
        if (s->place != RUNNING)
            return piece(s, SPEECH_NOTHING);
        if (s->lead_ms > 0)
            return take_lead(s);
        return begin_sentence(s) ? piece(s, SPEECH_SENTENCE) : piece(s, SPEECH_FAILED);
    }
    leave_stream(s);
    return piece(s, s->is_complete ? SPEECH_END : SPEECH_NOTHING);
}

/* ---- texts ---------------------------------------------------------------------------- */

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Silence that is asked for, as much of it as there may be. */
static int take_silence(struct speech *s, int pause_ms)
{
    const int taken = pause_ms < s->silence_left_ms ? pause_ms : s->silence_left_ms;
    s->silence_left_ms -= taken;
    return taken;
}

/* Append a sentence; its text is the speech's from here on. Silence alone lengthens the
 * pause before it. */
static csm_status append(struct speech *s, char *text, int pause_ms, csm_error *err)
{
    pause_ms = take_silence(s, pause_ms);
    if (*skip_space(text) == '\0') {
        *(s->n_sentences > s->next ? &s->sentences[s->n_sentences - 1].pause_ms : &s->lead_ms) +=
            pause_ms;
        csm_free(text);
        return CSM_OK;
    }
    if (s->n_sentences == s->capacity) {
        const size_t capacity = 2 * s->capacity + 8;
        struct sentence *grown = realloc(s->sentences, capacity * sizeof *grown);
        if (grown == NULL) {
            csm_free(text);
            return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
        }
        s->sentences = grown;
        s->capacity = capacity;
    }
    s->sentences[s->n_sentences++] = (struct sentence){text, pause_ms};
    return CSM_OK;
}

/* As it is written: sentence by sentence, or whole. */
static csm_status add_plain(struct speech *s, const char *text, bool is_split, csm_error *err)
{
    csm_status st = CSM_OK;
    for (const char *p = skip_space(text); st == CSM_OK && *p != '\0';) {
        const size_t n = is_split ? csm_text_sentence(p, MAX_SENTENCE_BYTES) : strlen(p);
        size_t length = n;
        while (length > 0 && strchr(" \t\r\n", p[length - 1]) != NULL)
            length--;
        char *copy = malloc(length + 1);
        if (copy == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
        memcpy(copy, p, length);
        copy[length] = '\0';
        st = append(s, copy, 0, err);
        p = skip_space(p + n);
    }
    return st;
}

csm_status speech_add(struct speech *s, const char *text, bool is_split, csm_error *err)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    csm_status st =
        s->setup.is_normalized
            ? csm_text_pieces(text, is_split ? MAX_SENTENCE_BYTES : 0, &pieces, &n, err)
            : add_plain(s, text, is_split, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        char *words = pieces[i].text;
        pieces[i].text = NULL;
        st = append(s, words, pieces[i].pause_ms, err);
    }
    csm_text_pieces_free(pieces, n);
    if (st == CSM_OK && s->next < s->n_sentences && !s->has_failed) {
        if (s->all->is_stopped && s->place == IDLE) {
            fail(s, csm_fail(&s->error, CSM_CANCELLED, "the server is ending"));
            tell(s);
        } else {
            want_stream(s);
        }
    }
    return st;
}

void speech_complete(struct speech *s)
{
    const bool is_divided = s->n_sentences > 1 || s->lead_ms > 0 ||
                            (s->n_sentences == 1 && s->sentences[0].pause_ms > 0);
    s->is_complete = true;
    if (s->setup.joint == SPEECH_JOINED_IF_DIVIDED)
        s->is_joined = is_divided;
    tell(s);
}

size_t speech_pending(const struct speech *s)
{
    return s->n_sentences - s->next;
}

const struct speech_tally *speech_counts(const struct speech *s)
{
    return &s->tally;
}

double speech_queued_s(const struct speech *s)
{
    return s->queued_s + (s->place == QUEUED ? now_s() - s->queued_at : 0);
}

/* ---- one, and all ------------------------------------------------------------------------ */

csm_status speech_open(struct speeches *all, const struct speech_setup *setup,
                       void (*news)(void *owner), void *owner, struct speech **out, csm_error *err)
{
    struct speech *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
    s->all = all;
    s->setup = *setup;
    s->setup.prompt = prompt_keep(setup->prompt);
    s->is_joined = setup->joint == SPEECH_JOINED;
    s->silence_left_ms = MAX_SILENCE_MS;
    s->frames_left = setup->max_frames > 0 ? setup->max_frames
                                           : (size_t)(MAX_SOUND_MS / all->info->frame_ms);
    s->on_news = news;
    s->owner = owner;
    s->tally.guarded = "";
    *out = s;
    return CSM_OK;
}

void speech_close(struct speech *s)
{
    if (s == NULL)
        return;
    drop_generation(s);
    leave_stream(s);
    if (s->has_news)
        TAILQ_REMOVE(&s->all->told, s, told);
    for (size_t i = 0; i < s->n_sentences; i++)
        csm_free(s->sentences[i].text);
    free(s->sentences);
    free(s->codes);
    free(s->held);
    free(s->given);
    prompt_release(s->last);
    prompt_release(s->setup.prompt);
    free(s);
}

csm_status speeches_new(struct event_base *base, csm_model *const *models, size_t n_models,
                        struct workers *workers, size_t max_streams, size_t max_queue,
                        struct speeches **out, csm_error *err)
{
    if (n_models < 1 || n_models > MAX_MODELS)
        return csm_fail(err, CSM_BAD_ARG, "speeches: %zu models, expected 1 to %d", n_models, MAX_MODELS);
    struct speeches *all = calloc(1, sizeof *all);
    if (all != NULL)
        all->news = event_new(base, -1, 0, on_news, all);
    if (all == NULL || all->news == NULL) {
        free(all);
        return csm_fail(err, CSM_NO_MEMORY, "speeches: out of memory");
    }
    memcpy(all->models, models, n_models * sizeof *models);
    all->n_models = n_models;
    all->model = models[0];
    all->info = csm_model_describe(models[0]);
    all->workers = workers;
    all->max_streams = max_streams;
    all->max_queue = max_queue;
    TAILQ_INIT(&all->queue);
    TAILQ_INIT(&all->told);
    pthread_mutex_init(&all->mutex, NULL);
    *out = all;
    return CSM_OK;
}

void speeches_free(struct speeches *all)
{
    if (all == NULL)
        return;
    event_free(all->news);
    pthread_mutex_destroy(&all->mutex);
    free(all);
}

size_t speeches_running(const struct speeches *all)
{
    return all->n_running;
}

size_t speeches_waiting(const struct speeches *all)
{
    return all->n_waiting;
}

bool speeches_is_full(const struct speeches *all)
{
    return all->n_running >= all->max_streams && all->n_waiting >= all->max_queue;
}

void speeches_stop(struct speeches *all)
{
    all->is_stopped = true;
    struct speech *s;
    while ((s = TAILQ_FIRST(&all->queue)) != NULL) {
        fail(s, csm_fail(&s->error, CSM_CANCELLED, "the server is ending"));
        tell(s);
    }
}
