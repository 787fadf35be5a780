/* SPDX-License-Identifier: Apache-2.0
 *
 * pace.c - outline: times are measured at each border, and what fits is made of them.
 *
 * How much of a prompt is read beside frames: as many positions as make a frame 1.35 times as
 * long as without, by what the last ones took. Where nobody speaks, AT_ONCE. An engine whose
 * rows depend on each other reads a prompt at once, or it would read another one.
 *
 * While newcomers have nothing to be heard yet, those rest whose readers listen and have been
 * given more than they can have played meanwhile, and newcomers are read and begun for half the time that
 * is left until one of these needs a frame: each newcomer begins earlier, and nobody hears the
 * difference. Slower than real time, nobody rests. */
#include "generate/pace.h"

#include <math.h>

#include "base/clock.h"
#include "generate/frames.h"

enum {
    AT_ONCE = 128,
    REST_MS = 40 /* that a generation's next frame may wait at least, for it to rest */
};

static const double stretch = 0.35;

size_t csm_pace_pending(const csm_generation *g)
{
    return g->prompt.n - g->sequence.n_positions;
}

bool csm_pace_is_speaking(const csm_generation *g)
{
    return g->is_started && g->n_drawn > 0 && csm_pace_pending(g) <= 1 && !g->is_done;
}

/* How many positions of prompts are read now: beside n_speaking frames; in the time of one
 * where all n_present readers are behind, any of whom may be back before it is over. */
static size_t piece_of(const struct csm_scheduler *s, const struct csm_host *host, size_t n_speaking,
                       size_t n_present)
{
    if (!host->traits->independent_rows)
        return SIZE_MAX;
    if (n_present == 0)
        return AT_ONCE;
    const double piece = n_speaking > 0 ? s->piece : s->piece * (1 + stretch) / stretch;
    return piece < 1 ? 1 : piece > AT_ONCE ? AT_ONCE : (size_t)piece;
}

double csm_pace_usually(double usual, double took)
{
    return usual == 0 ? took : usual + (took < usual ? 0.3 : 0.03) * (took - usual);
}

void csm_pace_learn(struct csm_scheduler *s, size_t n_speaking, size_t n_rows, double took)
{
    if (n_speaking == 0)
        return;
    double *usual = &s->usual_ms[n_speaking < CSM_SCHEDULER_TIMES ? n_speaking
                                                                  : CSM_SCHEDULER_TIMES];
    if (n_rows == 0) {
        *usual = csm_pace_usually(*usual, took);
        return;
    }
    if (*usual == 0)
        return;
    double more = took > *usual ? (took - *usual) / (double)n_rows : 0;
    more = s->alone_ms > 0 && more > s->alone_ms ? s->alone_ms : more; /* it is no more than that */
    s->row_ms = s->row_ms == 0 ? more : s->row_ms + 0.2 * (more - s->row_ms);
    const double next = s->row_ms > 0 ? stretch * *usual / s->row_ms : AT_ONCE;
    s->piece = next > 2 * s->piece ? 2 * s->piece : next; /* one that was quick by chance */
    s->piece = s->piece < 1 ? 1 : s->piece > AT_ONCE ? AT_ONCE : s->piece;
}

struct csm_budget csm_pace_budget(const struct csm_scheduler *s, const struct csm_host *host,
                               size_t n_speaking, size_t n_present)
{
    const struct csm_budget usual = {piece_of(s, host, n_speaking, n_present), 0};
    if (!host->traits->independent_rows || n_present == 0 || s->alone_ms == 0)
        return usual;
    const double rows = s->slack_ms / 2 / s->alone_ms;
    return rows <= (double)usual.rows
               ? usual
               : (struct csm_budget){rows > AT_ONCE ? AT_ONCE : (size_t)rows,
                                 (size_t)(s->draw_ms / s->alone_ms)};
}

/* Milliseconds of sound that its reader has left, who may have begun to play with the first
 * frame and keep up to one back: of players that take pieces, and of csm_joint. */
static double lead_of(const struct csm_scheduler *s, const csm_generation *g, double now)
{
    const size_t n = g->n_sound - g->is_waiting;
    return !g->settings.is_live || n == 0
               ? 0
               : (double)(n - 1) * s->model->info.frame_ms - (now - g->heard_from_ms);
}

void csm_pace_let_rest(struct csm_scheduler *s)
{
    size_t n_speaking = 0, n_new = 0;
    for (size_t i = 0; i < s->n_lanes; i++) {
        const bool speaks = csm_pace_is_speaking(s->lanes[i]);
        n_speaking += speaks;
        n_new += !speaks && !s->lanes[i]->is_done;
    }
    s->slack_ms = 0;
    if (n_speaking == 0 || n_new == 0)
        return;
    /* A frame of all, newcomers too. */
    const double frame = s->draw_ms * (double)(n_speaking + n_new), now = csm_now_ms();
    double least = HUGE_VAL;
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        if (!csm_pace_is_speaking(g) || !g->has_room)
            continue;
        const double slack = lead_of(s, g, now) - frame;
        g->has_room = slack < REST_MS;
        least = slack < least ? slack : least;
    }
    s->slack_ms = least;
}
