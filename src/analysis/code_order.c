/* SPDX-License-Identifier: Apache-2.0
 *
 * code_order.c - the same codes in other places: codebooks in another order, or frames
 * and codebooks exchanged. */
#include "analysis/verdict.h"

enum { LEAST_CODES = 16, MOST_CODEBOOKS = 64, NO_CODEBOOK = MOST_CODEBOOKS };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Share of b's codes of codebook `own` that are a's of codebook `other`. */
static double agreement(const csm_tokens *a, size_t other, const csm_tokens *b, size_t own)
{
    const size_t n = smaller(a->n_frames, b->n_frames);
    size_t n_equal = 0;
    for (size_t f = 0; f < n; f++)
        n_equal += a->codes[f * a->n_codebooks + other] == b->codes[f * b->n_codebooks + own];
    return n > 0 ? (double)n_equal / (double)n : 0;
}

/* The codebook of a that b's codebook `own` holds, where it is not its own. */
static size_t source_of(const csm_tokens *a, const csm_tokens *b, size_t own, double *share)
{
    if (own < a->n_codebooks && agreement(a, own, b, own) > 0.5)
        return own;
    for (size_t k = 0; k < smaller(a->n_codebooks, MOST_CODEBOOKS); k++)
        if ((*share = agreement(a, k, b, own)) >= 0.9)
            return k;
    return NO_CODEBOOK;
}

static struct csm_code_order find_exchange(const csm_tokens *a, const csm_tokens *b)
{
    struct csm_code_order order = {0};
    const size_t n_frames = smaller(a->n_frames, b->n_codebooks);
    const size_t n_codebooks = smaller(a->n_codebooks, b->n_frames);
    size_t n_equal = 0, n_in_place = 0, n_places = 0;
    for (size_t f = 0; f < n_frames; f++)
        for (size_t k = 0; k < n_codebooks; k++) {
            const int32_t code = a->codes[f * a->n_codebooks + k];
            n_equal += code == b->codes[k * b->n_codebooks + f];
            if (f < b->n_frames && k < b->n_codebooks) {
                n_places++;
                n_in_place += code == b->codes[f * b->n_codebooks + k];
            }
        }
    const size_t n = n_frames * n_codebooks;
    order.agreement = n > 0 ? (double)n_equal / (double)n : 0;
    order.is_exchanged = n >= LEAST_CODES && order.agreement >= 0.9 && 2 * n_in_place < n_places;
    return order;
}

struct csm_code_order csm_code_order_find(const csm_tokens *a, const csm_tokens *b)
{
    struct csm_code_order order = find_exchange(a, b);
    if (order.is_exchanged)
        return order;
    order = (struct csm_code_order){0};
    const size_t n_frames = smaller(a->n_frames, b->n_frames);
    for (size_t k = 0; k < smaller(b->n_codebooks, MOST_CODEBOOKS); k++) {
        double share = 0;
        const size_t source = source_of(a, b, k, &share);
        if (source == NO_CODEBOOK || source == k)
            continue;
        if (order.n_moved++ == 0) {
            order.codebook = k;
            order.source = source;
        }
        order.agreement += share;
    }
    if (order.n_moved > 0)
        order.agreement /= (double)order.n_moved;
    order.is_permuted = order.n_moved > 0 && order.n_moved * n_frames >= LEAST_CODES;
    return order;
}
