/* SPDX-License-Identifier: Apache-2.0
 *
 * health.c - logits that no sound model gives: NaN, Inf, dead, saturated. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stream_stats.h"
#include "base/error.h"

enum { SOUND, SATURATED, DEAD, BROKEN };

/* Beside the most probable code, less than this is left. */
static const float saturated_rest = 1e-6f;

static int check_row(const float *row, size_t n, csm_health *health)
{
    float lowest = INFINITY, highest = -INFINITY;
    size_t n_nan = 0, n_masked = 0, n_high = 0;
    for (size_t i = 0; i < n; i++) {
        n_nan += isnan(row[i]) != 0;
        n_masked += row[i] == -INFINITY;
        n_high += row[i] == INFINITY;
        if (!isfinite(row[i]))
            continue;
        lowest = row[i] < lowest ? row[i] : lowest;
        highest = row[i] > highest ? row[i] : highest;
    }
    /* -inf is how a mask is written; only a row of nothing else is an error. */
    bool has_finite = lowest <= highest;
    size_t n_inf = n_high + (has_finite ? 0 : n_masked);
    health->n_nan += n_nan;
    health->n_inf += n_inf;
    if (n_nan + n_inf != 0)
        return BROKEN;
    health->lowest = lowest < health->lowest ? lowest : health->lowest;
    health->highest = highest > health->highest ? highest : health->highest;
    if (lowest == highest && n - n_masked > 1) {
        health->n_dead++;
        return DEAD;
    }
    float rest = -1; /* the highest itself */
    for (size_t i = 0; i < n && rest < saturated_rest; i++)
        if (row[i] > highest - 25)
            rest += expf(row[i] - highest);
    if (rest < saturated_rest) {
        health->n_saturated++;
        return SATURATED;
    }
    return SOUND;
}

csm_status csm_health_check(const csm_tokens *t, csm_health *health, csm_error *err)
{
    memset(health, 0, sizeof *health);
    if (t->logits.data == NULL)
        return CSM_OK;
    size_t n_rows = t->n_frames * t->n_codebooks;
    float *row = malloc(t->vocab * sizeof *row);
    health->rows = malloc(n_rows + 1);
    if (row == NULL || health->rows == NULL) {
        free(row);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    }
    health->has_logits = true;
    health->n_rows = n_rows;
    health->lowest = INFINITY;
    health->highest = -INFINITY;
    for (size_t i = 0; i < n_rows; i++) {
        size_t frame = i / t->n_codebooks, codebook = i % t->n_codebooks;
        csm_tokens_logits(t, frame, codebook, row);
        health->rows[i] = (uint8_t)check_row(row, t->vocab, health);
        if (health->rows[i] == BROKEN && !health->has_bad) {
            health->has_bad = true;
            health->bad_frame = frame;
            health->bad_codebook = codebook;
        }
    }
    free(row);
    return CSM_OK;
}
