/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_noise.c - noise without logits: which stream the codes were drawn with. */
#include <inttypes.h>

#include "analysis/stream_stats.h"
#include "base/numbers.h"
#include "analysis/verdict_case.h"

csm_status csm_case_find_noise(struct csm_case *c, const csm_analyze_options *options,
                               csm_error *err)
{
    const csm_tokens *sides[2] = {c->a, c->b};
    csm_status status = CSM_OK;
    for (size_t i = 0; i < 2 && status == CSM_OK && c->has_settings; i++)
        if (sides[i]->logits.data == NULL && !options->without_replay && c->out->first.exists)
            status = csm_noise_step_find(sides[i], c->analysis->stats[i].vocab, &c->claimed[i],
                                         c->has_seed[i], &c->step[i], err);
    return status;
}

bool csm_case_is_same_noise(const struct csm_case *c)
{
    const struct csm_noise_step *a = &c->step[0], *b = &c->step[1];
    return a->is_in_step && b->is_in_step && a->seed == b->seed && a->stream == b->stream;
}

bool csm_rule_noise(struct csm_case *c)
{
    const struct csm_noise_step *a = &c->step[0], *b = &c->step[1];
    if (!a->is_known || !b->is_known)
        return false;
    /* one of them is known to be in step, else nothing is known of the vocabulary */
    bool a_known = a->is_in_step || a->is_elsewhere, b_known = b->is_in_step || b->is_elsewhere;
    if (!a_known && !b_known)
        return false;
    if (a->seed == b->seed && a->ahead == b->ahead && a->stream == b->stream && a_known && b_known)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const struct csm_noise_step *s = &c->step[i];
        const char *who = i == 0 ? "A" : "B";
        if (s->is_in_step)
            csm_print(c->text,
                    "%s's codes lie where the noise of %s, seed %" PRIu64 ", is small: "
                    "they were drawn with it. ",
                    who, csm_stream_name(s->stream), s->seed);
        else if (s->is_elsewhere && s->ahead != 0)
            csm_print(c->text, "%s's stream is %ld draw%s ahead; with that offset it agrees. ", who,
                    s->ahead, s->ahead == 1 ? "" : "s");
        else if (s->is_elsewhere)
            csm_print(c->text, "%s was drawn with %s, seed %" PRIu64 ", not as its metadata says. ",
                    who, csm_stream_name(s->stream), s->seed);
        else
            csm_print(c->text, "%s's codes were not drawn with the noise that its metadata names. ",
                    who);
    }
    csm_case_decide(c, CSM_VERDICT_NOISE,
                    !a_known || !b_known     ? "unknown"
                    : a->stream != b->stream ? "stream"
                    : a->seed != b->seed     ? "seed"
                                             : "stream_offset",
                    a_known && b_known ? 0.95 : 0.85);
    return true;
}
