/* SPDX-License-Identifier: Apache-2.0
 *
 * speech_parts.h - what the parts of speech.h share: speech.c takes sentences one after the
 * other, speech_drawing.c has each drawn, speech_streams.c says whose turn it is. */
#ifndef CSM_SERVER_SPEECH_PARTS_H
#define CSM_SERVER_SPEECH_PARTS_H

#include <pthread.h>
#include <sys/queue.h>

#include <csm/audio.h>

#include "sentences.h"
#include "speech.h"

/* What the scheduler's thread knows of a generation: it may outlive the speech. */
struct notice {
    struct speeches *all;
    struct speech *speech; /* NULL: nobody listens any more */
    csm_generation *generation;
    size_t model; /* which of the models draws it */
    bool is_listed;
    struct notice *next;
};

enum place { IDLE, QUEUED, RUNNING };

struct speech {
    struct speeches *all;
    struct speech_setup setup;
    void (*on_news)(void *owner);
    void *owner;

    struct sentences said; /* those of its texts, said and to be said */
    size_t next;           /* of them: which is begun next, or under way */
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

    csm_joint *joint; /* of frames, where sounds are joined, and of pauses */
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
    csm_text_rules *rules;
    struct workers *workers;
    size_t max_streams, max_queue, n_running, n_waiting;
    struct speech_list queue, told;
    struct event *news;
    bool is_stopped;
    pthread_mutex_t mutex; /* of what follows, and of the notices' is_listed */
    struct notice *listed;
};

/* ---- speech_streams.c ---------------------------------------------------------------- */

/* Tell the owner, on the loop's next turn. */
void speech_tell(struct speech *s);

/* It has something to say: a stream, or a place in the queue. */
void speech_want_stream(struct speech *s);
void speech_leave_stream(struct speech *s);

/* on_ready of a generation, whose user is its notice. The scheduler's thread. */
void notice_on_ready(void *notice);
void notice_free(void *notice);

/* ---- speech_drawing.c ------------------------------------------------------------------ */

/* Begin to draw the next sentence; false: the speech has failed. */
bool speech_begin_sentence(struct speech *s);

/* A frame of it. false: out of memory. */
bool speech_keep_codes(struct speech *s, const csm_frame *frame);

/* It is drawn: what it was, and what the next one has as context. false: out of memory. */
bool speech_end_sentence(struct speech *s);

/* Nothing more is drawn of it, nor waited for. */
void speech_drop_generation(struct speech *s);
void speech_fail(struct speech *s, csm_status status);

#endif
