/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict_ending.c - one side ended its speech where the other went on. The draw that ended
 * it is in no file, so what there is to tell is the race that the other side won there. */
#include <math.h>

#include "analysis/verdict_case.h"
#include "base/numbers.h"

bool csm_case_is_ending(const struct csm_case *c)
{
    const csm_divergence *d = &c->out->first;
    return d->exists && c->until > 0 &&
           (d->frame >= c->a->n_frames || d->frame >= c->b->n_frames);
}

void csm_case_decide_ending(struct csm_case *c)
{
    const csm_divergence *d = &c->out->first;
    const double margin = isnan(d->margin_a) ? d->margin_b : d->margin_a;
    csm_case_decide(c, CSM_VERDICT_SAMPLER, "ending", 0.6);
    fputs("All draws up to there agree", c->text);
    if (!isnan(margin))
        csm_print(c->text, ", and the one that went on was won by %.3g, which is no close race",
                  margin);
    fputs(": most likely they end speech by different rules, or one was cut by a limit that its "
          "file does not tell. ",
          c->text);
}
