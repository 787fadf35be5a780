/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c - loading a row of logits, and choosing its largest entries. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"
#include "sampling/row_kernels.h"
#include "sampling/sampler.h"

static csm_status name_bad(const float *logits, size_t row, size_t vocab, csm_dtype dtype,
                           csm_error *err)
{
    const float *x = logits + row * vocab;
    for (size_t i = 0; i < vocab; i++)
        if (!(csm_round_to(dtype, x[i]) < INFINITY))
            return csm_fail(err, CSM_BAD_LOGITS,
                            "logits: row %zu, index %zu is %g as %s, expected a number or -inf", row,
                            i, (double)x[i], csm_dtype_name(dtype));
    return csm_fail(err, CSM_BAD_LOGITS,
                    "logits: row %zu, all %zu entries are -inf, expected one that is finite", row,
                    vocab);
}

csm_status csm_load_logits(const float *logits, size_t row, size_t vocab, csm_dtype dtype,
                       float *scores, csm_error *err)
{
    float highest;
    size_t n_bad =
        csm_row_kernels_best()->load(logits + row * vocab, vocab, dtype, scores, &highest);
    return n_bad > 0 || highest == -INFINITY ? name_bad(logits, row, vocab, dtype, err) : CSM_OK;
}

csm_status csm_check_logits(const float *logits, size_t row, size_t vocab, csm_error *err)
{
    const float *x = logits + row * vocab;
    float highest = -INFINITY;
    size_t n_bad = 0;
    for (size_t i = 0; i < vocab; i++) {
        highest = x[i] > highest ? x[i] : highest;
        n_bad += !(x[i] < INFINITY);
    }
    return n_bad > 0 || highest == -INFINITY ? name_bad(logits, row, vocab, CSM_DTYPE_F32, err) : CSM_OK;
}

void csm_keep_from(csm_sampler *s, size_t vocab, float lowest)
{
    s->n_left = csm_row_kernels_best()->keep(s->scores, vocab, lowest, s->index, s->left);
}

/* The k-th largest of v [n], 1 <= k <= n; reorders v. Hoare's selection; the pivot is the
 * median of three. */
static float kth_largest(float *v, size_t n, size_t k)
{
    size_t low = 0, high = n - 1, wanted = k - 1;
    while (low < high) {
        float a = v[low], b = v[low + (high - low) / 2], c = v[high];
        float pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
        size_t i = low, j = high;
        for (;;) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i >= j)
                break;
            float t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        /* v[low..j] >= pivot >= v[j+1..high], up to the entry where both met */
        if (i == j && v[i] == pivot) {
            if (wanted == i)
                return pivot;
            if (wanted < i)
                high = i - 1;
            else
                low = i + 1;
        } else if (wanted <= j) {
            high = j;
        } else {
            low = j + 1;
        }
    }
    return v[low];
}

/* The k-th largest of the maxima of 2k groups or more is a lower bound that few
 * entries reach; the k-th largest of those is that of all. */
float csm_kth_score(csm_sampler *s, size_t vocab, size_t k)
{
    size_t n_groups = (2 * k + 15) / 16 * 16;
    float bound = -INFINITY;
    if (n_groups <= vocab / 4) {
        csm_row_kernels_best()->group_maxima(s->scores, vocab, s->scratch, n_groups);
        bound = kth_largest(s->scratch, n_groups, k);
    }
    if (bound == -INFINITY) { /* few groups, or few of them with an entry that is not masked */
        memcpy(s->scratch, s->scores, vocab * sizeof *s->scratch);
        return kth_largest(s->scratch, vocab, k);
    }
    csm_keep_from(s, vocab, bound);
    memcpy(s->scratch, s->left, s->n_left * sizeof *s->scratch);
    return kth_largest(s->scratch, s->n_left, k);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void csm_sort_ascending(csm_sampler *s, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* The bits of a float, made to order like it as an unsigned number. */
        uint32_t u = csm_bits_of_float(v[i] + 0.0f);
        u ^= u >> 31 != 0 ? 0xffffffffu : 0x80000000u;
        s->keys[i] = (uint64_t)u << 32 | (uint32_t)i;
    }
    qsort(s->keys, n, sizeof *s->keys, compare_keys);
    for (size_t i = 0; i < n; i++)
        s->order[i] = (uint32_t)s->keys[i];
}
