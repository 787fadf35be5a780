/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.h - what a generation holds. Three parts: what never changes once it is open,
 * what its reader and the scheduler share under the scheduler's lock, and what is the
 * scheduler's thread's alone from the time it takes it from the queue. */
#ifndef CSM_GENERATE_GENERATION_H
#define CSM_GENERATE_GENERATION_H

#include <pthread.h>

#include <csm/csm.h>

#include "generate/guard.h"
#include "generate/model.h"
#include "generate/settings.h"
#include "generate/whole_frame.h"

/* One frame on its way to the reader. */
struct csm_slot {
    csm_frame frame;
    int32_t *codes;   /* [n_codebooks] as drawn */
    float *margins;   /* [n_codebooks] */
    float *probs;     /* [n_codebooks] of the codes drawn */
    float *logits;    /* [n_codebooks, vocab]; NULL unless kept */
    float *all_probs; /* [n_codebooks, vocab]; NULL unless kept */
    float *samples;   /* [frame_samples]; NULL without sound */
};

enum csm_phase { CSM_PHASE_QUEUED, CSM_PHASE_TAKEN, CSM_PHASE_OVER };

struct csm_generation {
    /* ---- const from open on ---- */
    csm_model *model;
    bool is_auto; /* strategy: hybrid may take over where an engine fails */
    size_t utterance; /* of a batch: which */
    bool (*on_frame)(void *user, const csm_frame *frame);
    void (*on_ready)(void *user);
    csm_observer observe;
    void *user;
    void (*notify)(void *user); /* on_ready of csm_generate_batch itself, or NULL */
    void *notify_user;
    csm_generate_options options; /* for settings on another engine; its texts and forced codes
                                   * are this struct's own */
    char *texts[4];
    int32_t *forced; /* [n_forced, n_codebooks] */
    size_t n_forced;
    double opened_ms;
    double encode_ms;
    size_t n_prompt;
    size_t adapter; /* its number; 0: none */

    /* ---- shared, under the scheduler's lock ---- */
    csm_generation *next; /* in the queue */
    pthread_cond_t changed;
    enum csm_phase phase;
    bool is_cancelled, is_closing;
    bool is_let_go; /* the scheduler's thread knows it no more */
    csm_status status; /* how it ended */
    csm_error error;
    size_t n_put, n_taken; /* frames; those between them wait in their slots */
    csm_report report;
    struct csm_slot *slots; /* [n_slots] frame f is in slot f % n_slots: those that wait, the one
                             * being drawn or the one that the reader has */
    size_t n_slots;

    /* ---- the scheduler's thread's ---- */
    struct csm_settings settings; /* made at open; anew when another engine takes over */
    csm_report work;              /* the report as it grows */
    struct csm_host *host;
    struct csm_prompt prompt; /* prompt and frames; the sequence has read the first of them */
    struct csm_sequence sequence;
    csm_sampler *sampler; /* NULL when every draw is greedy */
    csm_sampler *guesser; /* the same, over the noise of draws to come; NULL: not needed */
    double pretended_share; /* of the benchmark, with forced codes: guesses that are right; 0: as
                             * they are */
    struct csm_whole_frame whole;
    struct csm_mimi_stream decoder; /* all zero without sound */
    struct csm_guard guard;
    int32_t *fed;     /* [n_codebooks] as the model goes on with */
    size_t n_drawn;   /* frames, with one that ended speech */
    size_t n_sound;   /* frames of sound */
    bool is_started;  /* its sequence is open */
    bool is_leaving, has_room; /* as found at the last border */
    bool is_sound, is_over; /* of the frame at work: to be handed over; the last one */
    bool is_begun;          /* and its sound, with others' */
    size_t sounding;        /* the frame whose sound is made: the one at work; or, where it is waiting, */
    bool is_waiting;        /* the one before, which is handed over once its sound is there */
    bool is_done;           /* that is its last */
    csm_status failed; /* of the frame at work: its draws */
    csm_error failure;
    csm_status unheard; /* of `sounding`: its sound; how it ends, if it is done */
    csm_error unheard_why;
    double heard_from_ms; /* when its first frame was handed over */
};

/* csm_generation_open with a prompt that is there already, which is taken over. */
csm_status csm_generation_open_prompt(csm_model *model, struct csm_prompt *prompt,
                                      const csm_generate_options *options, csm_generation **out,
                                      csm_error *err);

/* csm_generation_open of one utterance of a batch, which is notified beside on_ready. */
csm_status csm_generation_open_utterance(csm_model *model, const csm_request *request,
                                         const csm_generate_options *options, size_t utterance,
                                         void (*notify)(void *user), void *notify_user,
                                         csm_generation **out, csm_error *err);

/* How many times the random stream was drawn from; greedy draws take nothing. */
size_t csm_draws_so_far(const csm_generation *generation);

/* Whether a prompt and max_frames fit in the model's positions: CSM_OK, CSM_BAD_ARG. */
csm_status csm_check_room(const csm_model *model, size_t n_prompt, size_t max_frames,
                          csm_error *err);

#endif
