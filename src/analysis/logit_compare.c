/* SPDX-License-Identifier: Apache-2.0 */
#include "analysis/logit_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* A relative difference (rms over spread) up to this is rounding of that grain. Half a
 * unit in the last place, relative to the number, is 2^-9 in bf16; a model of three layers
 * with random weights shows 0.012 of the spread at its logits, of sixteen about twice that.
 * float32 shows 2e-6 to 2e-5, f16 an eighth of bf16. */
static double rounding_limit(enum csm_grain grain)
{
    return grain == CSM_GRAIN_BF16 ? 0.05 : grain == CSM_GRAIN_F16 ? 0.01 : 2e-4;
}

/* bf16 if every logit of a sample of rows is a bf16 number, f16 likewise. */
static enum csm_grain logits_grain(const csm_tokens *t)
{
    if (t->logits.data == NULL || t->logits.dtype == CSM_DTYPE_BF16)
        return t->logits.data == NULL ? CSM_GRAIN_F32 : CSM_GRAIN_BF16;
    if (t->logits.dtype == CSM_DTYPE_F16)
        return CSM_GRAIN_F16;
    if (t->logits.dtype != CSM_DTYPE_F32)
        return CSM_GRAIN_F32;
    enum { SAMPLE = 20000 };
    const float *values = t->logits.data;
    size_t n = t->logits.n_bytes / sizeof *values, step = n / SAMPLE + 1, n_seen = 0;
    bool is_bf16 = true, is_f16 = true;
    for (size_t i = 0; i < n; i += step) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if (!isfinite(values[i]) || values[i] == 0)
            continue;
        n_seen++;
        is_bf16 = is_bf16 && (bits & 0xffff) == 0;
        is_f16 = is_f16 && (bits & 0x1fff) == 0 && fabsf(values[i]) < 65536;
    }
    return n_seen == 0 ? CSM_GRAIN_F32
           : is_bf16   ? CSM_GRAIN_BF16
           : is_f16    ? CSM_GRAIN_F16
                       : CSM_GRAIN_F32;
}

struct csm_row_difference csm_rows_compare(const float *a, const float *b, size_t n)
{
    double sum_a = 0, sum_b = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(a[i]) && isfinite(b[i])) {
            sum_a += a[i];
            sum_b += b[i];
            count++;
        }
    struct csm_row_difference out = {.correlation = 1};
    if (count == 0)
        return out;
    double mean_a = sum_a / (double)count, mean_b = sum_b / (double)count;
    double aa = 0, bb = 0, ab = 0, dd = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(a[i]) && isfinite(b[i])) {
            double x = a[i] - mean_a, y = b[i] - mean_b, d = x - y;
            aa += x * x;
            bb += y * y;
            ab += x * y;
            dd += d * d;
            out.largest = fabs(d) > out.largest ? fabs(d) : out.largest;
        }
    out.relative = dd == 0 ? 0 : sqrt(dd / (aa > 0 ? aa : dd));
    out.correlation = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : dd == 0;
    return out;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

csm_status csm_logits_compare(const csm_tokens *a, const csm_tokens *b, size_t n_draws,
                              struct csm_logit_difference *out, csm_error *err)
{
    memset(out, 0, sizeof *out);
    if (a->logits.data == NULL || b->logits.data == NULL || a->vocab != b->vocab ||
        a->n_codebooks != b->n_codebooks || n_draws == 0)
        return CSM_OK;
    float *row_a = malloc(a->vocab * sizeof *row_a), *row_b = malloc(a->vocab * sizeof *row_b);
    double *relative = malloc(n_draws * sizeof *relative);
    if (row_a == NULL || row_b == NULL || relative == NULL) {
        free(row_a);
        free(row_b);
        free(relative);
        return csm_fail(err, CSM_NO_MEMORY, "comparison of logits: out of memory");
    }
    enum csm_grain grain_a = logits_grain(a), grain_b = logits_grain(b);
    out->limit = fmax(rounding_limit(grain_a), rounding_limit(grain_b));
    out->first_beyond = n_draws;
    out->correlation = 1;
    for (size_t i = 0; i < n_draws; i++) {
        size_t frame = i / a->n_codebooks, codebook = i % a->n_codebooks;
        if (!csm_tokens_logits(a, frame, codebook, row_a) ||
            !csm_tokens_logits(b, frame, codebook, row_b))
            break;
        struct csm_row_difference d = csm_rows_compare(row_a, row_b, a->vocab);
        relative[out->n_rows++] = d.relative;
        out->largest = fmax(out->largest, d.largest);
        if (d.relative > out->limit && out->n_beyond++ == 0) {
            out->first_beyond = i;
            out->correlation = d.correlation;
        }
    }
    if (out->n_rows != 0) {
        out->is_known = true;
        out->relative_first = relative[0];
        out->relative_last = relative[out->n_rows - 1];
        qsort(relative, out->n_rows, sizeof *relative, ascending);
        out->relative = relative[out->n_rows / 2];
    }
    free(row_a);
    free(row_b);
    free(relative);
    return CSM_OK;
}

/* ---- hidden states ----------------------------------------------------------- */

static double rms_relative(const float *a, const float *b, size_t n)
{
    double dd = 0, aa = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - b[i];
        dd += d * d;
        aa += (double)a[i] * a[i];
    }
    /* not <=: NaN differs */
    return dd == 0 ? 0 : aa > 0 && isfinite(dd) ? sqrt(dd / aa) : INFINITY;
}

static const csm_hidden *find_hidden(const csm_tokens *t, const csm_hidden *like)
{
    for (size_t i = 0; i < t->n_hidden; i++)
        if (strcmp(t->hidden[i].name, like->name) == 0 && t->hidden[i].width == like->width)
            return &t->hidden[i];
    return NULL;
}

static bool is_of_depth(const csm_hidden *h)
{
    return strncmp(h->name, "depth.", 6) == 0;
}

/* Rows of a tensor whose history is equal on both sides. */
static size_t safe_rows(const csm_tokens *t, const csm_hidden *h, size_t n_prompt, size_t until)
{
    size_t frame = until / t->n_codebooks, codebook = until % t->n_codebooks;
    if (is_of_depth(h))
        return frame * t->n_codebooks + codebook + 1;
    return n_prompt + frame;
}

/* The first row whose difference is beyond the limit; rows if none. */
static size_t first_differing_row(const csm_hidden *x, const csm_hidden *y, size_t rows, double limit)
{
    size_t row = 0;
    while (row < rows && rms_relative((const float *)x->data + row * x->width,
                                      (const float *)y->data + row * x->width, x->width) <= limit)
        row++;
    return row;
}

void csm_hidden_compare(const csm_tokens *a, const csm_tokens *b, size_t until,
                        const struct csm_logit_difference *logits, enum csm_grain grain,
                        struct csm_hidden_difference *out)
{
    memset(out, 0, sizeof *out);
    double limit = grain == CSM_GRAIN_F32 ? 1e-4 : grain == CSM_GRAIN_F16 ? 4e-3 : 0.025;
    double before = 0;
    bool differs_from_start = true;
    size_t n_covered = SIZE_MAX; /* draws of the frames that all tensors reach */
    for (size_t i = 0; i < a->n_hidden; i++) {
        const csm_hidden *x = &a->hidden[i], *y = find_hidden(b, x);
        if (y == NULL)
            continue;
        size_t rows = x->n_rows < y->n_rows ? x->n_rows : y->n_rows;
        const char *prompt = csm_tokens_metadata(a, "n_prompt");
        size_t n_prompt = prompt != NULL ? strtoull(prompt, NULL, 10) : 0;
        if (n_prompt == 0) /* then every frame but the last has a row after the prompt's */
            n_prompt = rows > a->n_frames ? rows - a->n_frames + 1 : 1;
        const size_t n_draws = is_of_depth(x)   ? rows
                               : rows >= n_prompt ? (rows - n_prompt + 1) * a->n_codebooks
                                                  : 0;
        n_covered = n_draws < n_covered ? n_draws : n_covered;
        size_t safe = safe_rows(a, x, n_prompt, until);
        rows = rows < safe ? rows : safe;
        if (rows == 0)
            continue;
        out->is_known = true;
        double relative = rms_relative(x->data, y->data, rows * x->width);
        if (relative > limit && relative > 4 * before) {
            out->first = x->name;
            out->is_of_depth = is_of_depth(x);
            out->relative = relative;
            out->before = before;
            out->is_gradual = differs_from_start && before > limit / 10;
            out->is_first_position_equal =
                rows > 1 && rms_relative(x->data, y->data, x->width) <= limit / 10;
            out->first_row = first_differing_row(x, y, rows, limit);
            out->is_first_pass_equal =
                out->first_row < rows &&
                out->first_row >= (out->is_of_depth ? a->n_codebooks : n_prompt);
            return;
        }
        differs_from_start = differs_from_start && relative > 0;
        if (relative > before)
            before = relative;
    }
    if (out->is_known && before > limit) { /* grew past the limit without a jump */
        out->is_gradual = true;
        out->relative = before;
    } else if (out->is_known && logits->is_known && logits->first_beyond < n_covered &&
               logits->relative_last > rounding_limit(grain)) {
        out->first = "logits";
        out->relative = logits->relative_last;
        out->before = before;
    }
}
