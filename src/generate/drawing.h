/* SPDX-License-Identifier: Apache-2.0
 *
 * drawing.h - what the scheduler's thread does with one generation: begin it, draw a code,
 * take a frame, end it. All in the model's turn. */
#ifndef CSM_GENERATE_DRAWING_H
#define CSM_GENERATE_DRAWING_H

#include "base/threads.h"
#include "generate/generation.h"

/* Sound of frames while the next ones are drawn: */
enum csm_settle {
    CSM_SETTLE_BEGIN, /* the engine has just been given its work: so has the codec */
    CSM_SETTLE_GIVE,  /* most codes are there: what is heard goes to its readers */
    CSM_SETTLE_ALL    /* the engine rests, and no frame has been judged: nothing waits any more */
};

/* Memory that drawing needs, one for the scheduler: room for n generations. */
struct csm_scratch {
    size_t n_rooms, vocab, n_codebooks;
    float *logits;  /* [n_rooms, vocab] */
    int32_t *codes; /* [n_rooms] */
    struct csm_feed *feeds;           /* [n_rooms] */
    struct csm_frame_lane *frames;    /* [n_rooms] */
    struct csm_sequence **sequences;  /* [n_rooms] */
    csm_generation **lanes;           /* [n_rooms] of the scheduler's list, as it was */
    csm_generation **ready, **group, **asked, **waiting; /* [n_rooms] */
    float *rows; /* [n_rooms, 2, vocab] that csm_drawing_draw needs */
    int32_t *heard;                    /* [n_rooms, n_codebooks] */
    struct csm_mimi_stream **streams;  /* [n_rooms] */
    float **samples;                   /* [n_rooms] */
    struct csm_mimi *mimi; /* that many streams go through together; NULL: none */
    csm_generation **begun; /* [n_rooms] whose sound is computed, n_begun of them since begun_ms; the
                             * three lists above are in their order */
    size_t n_begun;
    double begun_ms;
    csm_threads *threads; /* for loops over generations; NULL: none */
    /* Called while frames are drawn, for the sound of those before; NULL: there is none. */
    void (*settle)(void *user, enum csm_settle what);
    void *settle_user;
};

/* The two rows of the generation at place i of a list. */
static inline float *csm_scratch_rows(const struct csm_scratch *x, size_t i)
{
    return x->rows + i * 2 * x->vocab;
}

csm_status csm_scratch_reserve(struct csm_scratch **scratch, const csm_model *model, size_t n,
                               csm_error *err);
void csm_scratch_free(struct csm_scratch *scratch);

/* All that it needs of the engine: its sequence, which begins with the n first positions of
 * `shared` (NULL: empty), the decoder, and whole frames. */
csm_status csm_drawing_start(csm_generation *g, const csm_lane *shared, size_t n, csm_error *err);

/* Give up what belongs to engines; the sequence's lane apart, if it was taken out. */
void csm_drawing_stop(csm_generation *g);

/* Draw code k of the frame from its logits [vocab] into the slot: code, margin, probability,
 * and what is kept. In order; several generations may be drawn at the same time. `rows`: room
 * for two. `probs` receives the row of probabilities, valid while `rows` is; or NULL.
 * CSM_BAD_LOGITS names frame and codebook; so does CSM_BAD_FORMAT: rules leave no code. */
csm_status csm_drawing_draw(csm_generation *g, struct csm_slot *slot, size_t k, const float *logits,
                            float *rows, const float **probs, csm_error *err);

/* Guesses: from the noise of the next draw on; then one code of the depth decoder, from a
 * draft's logits [vocab]. The draws to come are not touched. */
csm_status csm_drawing_guess_from_here(csm_generation *g, csm_error *err);
csm_status csm_drawing_guess(csm_generation *g, const float *logits, float *rows, int32_t *code,
                             csm_error *err);

/* The slot of the frame that is drawn. */
struct csm_slot *csm_drawing_slot(const csm_generation *g);

/* The codes that frame goes on with, if they are forced; else NULL. */
const int32_t *csm_drawing_forced(const csm_generation *g);

/* What follows the draws of a frame, in this order. First whether speech has ended: sets
 * is_sound, is_over; its sound is not begun, and not known to have failed. */
void csm_drawing_judge(csm_generation *g);

/* Then the sound of frame `sounding`. Whether some is to be made of it, and of which codes
 * [n_codebooks], as csm_mimi_decode takes them; where; and that it was, or failed, since from_ms.
 * `unheard` and `unheard_why` say how it went. */
bool csm_drawing_hear(csm_generation *g, int32_t *codes);
float *csm_drawing_samples(const csm_generation *g);
void csm_drawing_heard(csm_generation *g, double from_ms, csm_status st, const csm_error *err);

/* Then the next position, for which the sound need not be there. Where is_sound, the slot is to be
 * handed over; where is_over, no frame is to come. CSM_NO_MEMORY. */
csm_status csm_drawing_take(csm_generation *g, csm_error *err);

/* Then, with its sound, the guard, by which it may be over. */
void csm_drawing_watch(csm_generation *g);

#endif
