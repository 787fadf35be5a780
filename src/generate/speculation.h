/* SPDX-License-Identifier: Apache-2.0
 *
 * speculation.h - codes of a frame sooner, and the same ones (docs/SPECULATION.md).
 *
 * A draft of the depth decoder guesses the next codes with the noise that their draws will
 * have; the true weights then give the logits of all of them in one reading, and each is
 * drawn from these as ever. The first one that differs from its guess is right all the same,
 * since all before it were; those after it are guessed anew. */
#ifndef CSM_GENERATE_SPECULATION_H
#define CSM_GENERATE_SPECULATION_H

#include "generate/drawing.h"
#include "model/draft.h"

/* Of a host that has one. */
struct csm_speculation {
    struct csm_draft draft;
    float *logits;  /* [n_codebooks, vocab] of one confirmation, or of a guess */
    int32_t *codes; /* [n_codebooks] of the frame at work, settled or guessed */

    /* What is known of its worth, running means: none of it changes a code. */
    bool is_wanted;  /* guess also where that does not pay */
    double share;    /* of guesses that were right */
    double guess_ms; /* one guess */
    double one_ms;   /* a reading of the true weights for one code */
    double more_ms;  /* what each further code adds to it */
    size_t n_frames;
};

/* Open the host's if it can pay: float matrices of so many bytes that they come from memory,
 * on an engine whose rows are independent and that draws frames code by code; or wherever it
 * is possible, if `is_wanted`. CSM_BAD_ARG where it is wanted and not possible. */
csm_status csm_speculation_open(struct csm_host *host, const csm_checkpoint *checkpoint,
                                bool is_wanted, csm_error *err);
void csm_speculation_close(struct csm_speculation *speculation); /* takes NULL */

/* Whether this generation's frames may be drawn so: nobody watches its hidden states. */
bool csm_speculation_fits(const struct csm_host *host, const csm_generation *g);

/* Codes 1.. of its frame, whose first is there, into the slot. A failure marks it. */
void csm_speculation_draw(struct csm_host *host, csm_generation *g, float *rows);

#endif
