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
    struct csm_frame_parts parts; /* the same, for engines that draw frames whole */
};

/* Bind the language model of a checkpoint; engine and checkpoint outlive it.
 * Closed with csm_language_close, also when this failed (all zero is closed). */
csm_status csm_language_open(struct csm_language *language, const struct csm_engine *engine,
                             const csm_checkpoint *checkpoint, csm_error *err);
void csm_language_close(struct csm_language *language);

#endif
