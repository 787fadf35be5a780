/* SPDX-License-Identifier: Apache-2.0
 *
 * language.h - the language model: the backbone, which reads text and frames and
 * gives the logits of code 0, and the depth decoder, which gives those of the
 * other codes of the frame one after the other. */
#ifndef CSM_MODEL_LANGUAGE_H
#define CSM_MODEL_LANGUAGE_H

#include "checkpoint/checkpoint.h"
#include "model/bind.h"
#include "model/stack.h"

struct csm_language {
    const struct csm_engine *engine;
    struct csm_binder binder;
    size_t n_codebooks, vocab, text_vocab;
    size_t width, depth_width;
    csm_weight *text_table;  /* [text_vocab, width] */
    csm_weight *audio_table; /* [n_codebooks * vocab, width] */
    csm_weight *depth_table; /* the depth decoder's: the same, but where config unties them */
    csm_weight *projection;  /* [depth_width, width] */
    csm_weight *first_head;  /* [vocab, width] */
    csm_weight **heads;      /* [n_codebooks - 1], each [vocab, depth_width] */
    struct csm_stack backbone, depth;
};

/* Bind the language model of a checkpoint; engine and checkpoint outlive it.
 * Closed with csm_language_close, also when this failed (all zero is closed). */
csm_status csm_language_open(struct csm_language *language, const struct csm_engine *engine,
                             const csm_checkpoint *checkpoint, csm_error *err);
void csm_language_close(struct csm_language *language);

/* The positions of a prompt: text where text[i] >= 0, else a frame of codes. */
struct csm_prompt {
    size_t n;
    int32_t *text;  /* [n], -1 where a frame is */
    int32_t *codes; /* [n, n_codebooks], unused where text is */
};

/* One run through the model, or n_lanes side by side. */
struct csm_language_state {
    const struct csm_language *language;
    size_t n_lanes;     /* at work: the first of those opened; the caller may set fewer */
    size_t capacity;    /* positions of a lane */
    size_t *n_position; /* of each lane, so far */
    csm_cache *backbone, *depth;
    csm_value *hidden; /* [n_lanes, width]: the normed last position of each lane */
    csm_value *a, *b, *c;
    int32_t *ids;
    struct csm_watch watch; /* observer and frame; the model sets the rest */
};

csm_status csm_language_state_open(const struct csm_language *language, size_t n_lanes,
                                   size_t capacity, struct csm_language_state *state,
                                   csm_error *err);
void csm_language_state_close(struct csm_language_state *state);

/* Forget all but the first n_positions of a lane. */
csm_status csm_language_truncate(struct csm_language_state *state, size_t lane, size_t n_positions,
                                 csm_error *err);

/* Lane `to` becomes what lane `from` is, `hidden` apart; for an engine with
 * cache_copy. The lanes may be ones that are not at work. */
csm_status csm_language_copy_lane(struct csm_language_state *state, size_t from, size_t to,
                                  csm_error *err);

/* Append positions first..n-1 of a prompt to a lane, in one pass; the lane's row
 * of `hidden` becomes the last one's. At least one position. Lane 0 begins `hidden`
 * anew; another may be the next one after its rows. */
csm_status csm_backbone_prompt(struct csm_language_state *state, size_t lane,
                               const struct csm_prompt *prompt, size_t first, csm_error *err);

/* Append one frame to every lane: codes [n_lanes, n_codebooks]. */
csm_status csm_backbone_step(struct csm_language_state *state, const int32_t *codes,
                             csm_error *err);

/* Logits of code 0 of every lane, [n_lanes, vocab]. */
csm_status csm_backbone_logits(struct csm_language_state *state, float *logits, csm_error *err);

/* Logits of code k, 1 <= k < n_codebooks, of every lane, [n_lanes, vocab], given
 * code k - 1 of each, codes [n_lanes]. In order from 1; 1 begins the frame. */
csm_status csm_depth_step(struct csm_language_state *state, size_t k, const int32_t *codes,
                          float *logits, csm_error *err);

#endif
