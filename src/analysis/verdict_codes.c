/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_codes.c - codes alone: moved as a whole, or telling little. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/verdict.h"
#include "base/numbers.h"
#include "analysis/verdict_case.h"

bool csm_rule_shift(struct csm_case *c)
{
    struct csm_code_shift s = csm_code_shift_find(c->a, c->b);
    if (!s.is_shifted || c->out->all.agreement > 0.5)
        return false;
    if (s.codebooks != 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.99);
        csm_print(c->text, "Codebook off by %d: B's codebook k holds what A's codebook k%+d does. ",
                abs(s.codebooks), -s.codebooks);
    } else if (s.frames != 0) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "frame_offset", 0.99);
        csm_print(c->text, "Frames off by %d: B's frame f holds what A's frame f%+d does. ",
                abs(s.frames), -s.frames);
    } else {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "code_offset", 0.99);
        csm_print(c->text, "Each code of B is A's %+d. ", s.codes);
    }
    csm_print(c->text, "%.0f %% of the codes agree so. ", 100 * s.agreement);
    return true;
}

bool csm_rule_order(struct csm_case *c)
{
    const struct csm_code_order o = csm_code_order_find(c->a, c->b);
    if (!o.is_exchanged && !o.is_permuted)
        return false;
    csm_case_decide(c, CSM_VERDICT_LOGITS, "codebook", 0.99);
    if (o.is_exchanged)
        fputs("Frames and codebooks are exchanged: B's frames are A's codebooks. ", c->text);
    else
        csm_print(c->text, "Codebooks in another order: B's codebook %zu holds A's codebook %zu, %zu "
                           "of them are elsewhere. ",
                  o.codebook, o.source, o.n_moved);
    csm_print(c->text, "%.0f %% of their codes agree so. ", 100 * o.agreement);
    return true;
}

bool csm_rule_moves(struct csm_case *c)
{
    const size_t frame = c->out->first.frame;
    const struct csm_code_moves m = csm_code_moves_find(c->a, c->b, frame);
    if (m.move == CSM_NOT_MOVED)
        return false;
    csm_case_decide(c, CSM_VERDICT_LOGITS,
                    m.move == CSM_MOVED_IN_VALUE ? "code_offset" : "frame_offset", 0.99);
    if (m.move == CSM_MOVED_IN_TIME)
        csm_print(c->text, "Codebooks are moved in time: B's codebook %zu comes %ld frames later than "
                           "A's, its last one %ld (a delay pattern has to be taken back first). ",
                  m.codebook, m.by, m.by_last);
    else if (m.move == CSM_MOVED_IN_VALUE)
        csm_print(c->text, "B's codes of codebook %zu are A's %+ld, of its last codebook %+ld (places in "
                           "a table of all codebooks). ",
                  m.codebook, m.by, m.by_last);
    else if (m.move == CSM_MOVED_FROM)
        csm_print(c->text, "From frame %zu on B's frame f holds what A's frame f%+ld does: frames were "
                           "%s. ",
                  frame, -m.by, m.by < 0 ? "lost" : "put in");
    else
        fputs(m.move == CSM_FRAMES_TWICE ? "B has each frame of A twice. "
                                         : "B has every other frame of A. ",
              c->text);
    csm_print(c->text, "%.0f %% of the codes agree so. ", 100 * m.agreement);
    return true;
}

/* Whether a stream says the same frame after frame, which agrees with anything that does. */
static bool is_stuck(const csm_tokens *t)
{
    size_t n_equal = 0;
    for (size_t i = t->n_codebooks; i < t->n_frames * t->n_codebooks; i++)
        n_equal += t->codes[i] == t->codes[i - t->n_codebooks];
    return 2 * n_equal >= t->n_frames * t->n_codebooks;
}

/* Equal draws after which rounding is likelier than a fault. Of that grain it turns one race in
 * some 50, 500, or 10,000 and more: logits that are off by a hundredth of their spread, by an
 * eighth of that, by 2e-5. */
static size_t draws_to_rounding(enum csm_grain grain)
{
    return grain == CSM_GRAIN_BF16 ? 100 : grain == CSM_GRAIN_F16 ? 200 : 2000;
}

void csm_rule_codes(struct csm_case *c)
{
    const csm_comparison *out = c->out;
    const csm_divergence *d = &out->first;
    /* Chance that streams out of step agree so long: agreement after the divergence. */
    size_t columns = out->n_codebooks, n = 0, n_equal = 0;
    for (size_t f = d->frame + 1; f < out->n_frames; f++)
        for (size_t k = 0; k < columns; k++) {
            n++;
            n_equal +=
                c->a->codes[f * c->a->n_codebooks + k] == c->b->codes[f * c->b->n_codebooks + k];
        }
    double chance = ((double)n_equal + 1) / ((double)n + 4);
    bool was_in_step = (double)d->n_equal * log(chance) < log(1e-3);
    const struct csm_noise_step *a = &c->step[0];
    if (csm_case_is_same_noise(c) && !was_in_step) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.7);
        csm_print(c->text,
                "Both were drawn with the noise that they name (%s, seed %" PRIu64 "), and part "
                "after %zu draws: the logits or the sampler's settings differ. ",
                csm_stream_name(a->stream), a->seed, d->n_equal);
        fputs("Save logits on both sides (--save-logits) for a firm verdict. ", c->text);
        return;
    }
    if (out->n_frames == 0) {
        csm_case_decide(c, CSM_VERDICT_NOISE, "unknown", 0.2);
        fputs("Without a frame on one side nothing tells why. ", c->text);
        return;
    }
    if (n >= 16 && 10 * n_equal >= 9 * n && !is_stuck(c->a)) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.4);
        csm_print(c->text,
                "After that frame %zu of %zu codes are equal: noise and sampler are the same, and "
                "single codes differ, by close races that the streams go on from together or by a "
                "change after they were drawn. ",
                n_equal, n);
    } else if (was_in_step && d->n_equal >= draws_to_rounding(csm_case_grain(c))) {
        csm_case_decide(c, CSM_VERDICT_ROUNDING, "rounding", 0.5);
        csm_print(c->text,
                "Streams out of step would not agree for %zu draws, so noise and sampler are the "
                "same, and logits that far off part earlier: most likely rounding. ",
                d->n_equal);
    } else if (was_in_step) {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.4);
        csm_print(c->text,
                "Streams out of step would not agree for %zu draws: the noise is the same, and the "
                "logits or the sampler differ. ",
                d->n_equal);
    } else if (out->is_alike) {
        csm_case_decide(c, CSM_VERDICT_NOISE, "unknown", 0.5);
        csm_print(c->text,
                "The codes agree no longer than by chance, and their distributions are alike (p = "
                "%.3g): most likely another seed, or streams out of step. ",
                out->all.p_value);
    } else {
        csm_case_decide(c, CSM_VERDICT_LOGITS, "unknown", 0.5);
        csm_print(c->text,
                "The codes agree no longer than by chance, and their distributions differ (p = "
                "%.3g): the models or the sampler's settings differ. ",
                out->all.p_value);
    }
    fputs("Codes alone tell no more; save margins and logits (--save-logits) for a firm verdict. ",
          c->text);
}
