/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.h - what draws all generations of a model: one thread, a frame of each at a time.
 *
 * Between two frames, at their *border*, generations come and go. A prompt is read in pieces
 * beside the frames of those that speak already, small enough that these keep their pace. */
#ifndef CSM_GENERATE_SCHEDULER_H
#define CSM_GENERATE_SCHEDULER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/generate.h>

#include "generate/prefixes.h"

struct csm_host;

/* Frames' usual times are kept for up to so many generations side by side. */
enum { CSM_SCHEDULER_TIMES = 64 };

struct csm_stand_in;

struct csm_scheduler {
    csm_model *model;

    /* ---- under the lock ---- */
    pthread_mutex_t lock;
    pthread_cond_t work;
    csm_generation *first, *last; /* the queue */
    size_t n_queued;
    bool is_awake; /* something changed that the thread has not seen */
    bool has_thread, is_stopping;
    csm_load load;

    /* ---- the thread's ---- */
    pthread_t thread;
    size_t max_lanes;
    csm_generation **lanes; /* [n_lanes] in the order in which they came */
    size_t n_lanes, n_rooms;
    size_t n_waiting; /* of them: for the sound of a frame, while the next one is drawn */
    bool has_begun;   /* that sound */
    struct csm_prefixes prefixes;
    struct csm_stand_in *fallback; /* opened once an engine has failed */
    struct csm_scratch *scratch;
    struct csm_threads *threads; /* for many generations, where no engine has any; NULL: not yet */
    double usual_ms[CSM_SCHEDULER_TIMES + 1]; /* a frame of n generations, without prompts */
    double took_ms; /* what was done at last, from border to border; in the model's turn */
    double row_ms; /* what a position of a prompt adds to a frame */
    double alone_ms; /* what it takes where no frames are beside it */
    double draw_ms;  /* what a generation's frame takes beside others, once all is read */
    double slack_ms; /* until a frame of those that speak must be begun; at most 0: now */
    double piece;  /* positions of prompts that are read beside a frame */
};

/* Nothing is started yet. */
void csm_scheduler_open(struct csm_scheduler *scheduler, csm_model *model, size_t max_lanes,
                        size_t prefix_bytes);

/* Ends the thread; what is drawn still is cancelled. */
void csm_scheduler_close(struct csm_scheduler *scheduler);

/* Queue a generation; starts the thread if it is the first. CSM_NO_MEMORY. */
csm_status csm_scheduler_enter(struct csm_scheduler *scheduler, csm_generation *generation,
                               csm_error *err);

/* Something has changed; under the lock. */
void csm_scheduler_wake(struct csm_scheduler *scheduler);

#endif
