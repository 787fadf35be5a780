/* SPDX-License-Identifier: Apache-2.0
 *
 * two_sample.c - a permutation test over histograms of codes.
 *
 * Statistic: the two-sample chi-square of each codebook's histogram, and their sum
 * over codebooks. Its distribution if both streams came from one process is not
 * taken from a table (codes of a frame depend on each other, frames on their
 * neighbours, most counts are small) but made: frames are put to the streams anew
 * at random, whole blocks of neighbours at a time, and the statistic taken again.
 * p = (1 + permutations at least as large) / (1 + permutations), which is exact if
 * blocks are exchangeable. The block is as long as frames are seen to depend on
 * each other.
 *
 * Chi-square is a sum over pairs of frames with the same code v, of 1 / n_v times
 * their labels. A held code makes pairs of neighbours, which blocks cut at their
 * ends would break: in the test, pairs nearer than a block are left out (and each
 * frame's pair with itself, which tells nothing). With a_v, n_v the counts in A and
 * in both, x_i = 1 in A and 0 in B, and r_i the share of i's kin that it is paired
 * with, what is left is, but for a constant,
 *   N^2 / (nA nB) * (sum a_v^2 / n_v - sum x_i / n_v - 2 sum over near pairs in A of 1 / n_v
 *                    - 2 nA / N * sum x_i r_i). */
#include "analysis/two_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    MOST_PERMUTATIONS = 999,
    FEWEST_PERMUTATIONS = 199,
    WORK = 60000000,      /* codes counted in all, which takes a quarter of a second */
    MOST_LAG = 32,
    N_EXPECTED = 50,      /* permutations that give the expected similarity */
    MOST_PAIRS = 400000   /* near pairs of a codebook */
};
static const double level = 0.05;
static const double z_power = 1.6449 + 0.8416; /* of the level, and of power 0.8 */

/* One codebook, values replaced by 0..n_values-1. */
struct column {
    uint32_t *ids;    /* [n_a + n_b], A's frames first */
    size_t n_values;
    uint32_t *totals; /* [n_values] */
    double *inverse;  /* [n_values] 1 / total */
    struct near_pair *near; /* [n_near] equal codes of one stream, less than a block apart */
    size_t n_near;
    double *kin; /* [n_a + n_b] r_i */
};

struct near_pair {
    uint32_t first, second;
};

struct sample {
    size_t n_a, n_b, n_columns;
    struct column *columns;
    uint32_t *counts;  /* [largest n_values] scratch */
    uint8_t *is_in_a;  /* [n_a + n_b] scratch of a permutation */
    uint32_t *members; /* [n_a] the frames in A, in order */
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct valued {
    int32_t value;
    uint32_t at;
};

static int by_value(const void *left, const void *right)
{
    const struct valued *a = left, *b = right;
    return (a->value > b->value) - (a->value < b->value);
}

static bool fill_column(const csm_tokens *a, const csm_tokens *b, size_t k,
                        struct valued *scratch, struct column *column)
{
    size_t n = a->n_frames + b->n_frames;
    for (size_t f = 0; f < a->n_frames; f++)
        scratch[f] = (struct valued){a->codes[f * a->n_codebooks + k], (uint32_t)f};
    for (size_t f = 0; f < b->n_frames; f++)
        scratch[a->n_frames + f] = (struct valued){b->codes[f * b->n_codebooks + k],
                                                   (uint32_t)(a->n_frames + f)};
    qsort(scratch, n, sizeof *scratch, by_value);
    column->ids = malloc(n * sizeof *column->ids + 1);
    column->totals = calloc(n + 1, sizeof *column->totals);
    column->inverse = malloc((n + 1) * sizeof *column->inverse);
    if (column->ids == NULL || column->totals == NULL || column->inverse == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || scratch[i].value != scratch[i - 1].value)
            column->n_values++;
        column->ids[scratch[i].at] = (uint32_t)(column->n_values - 1);
        column->totals[column->n_values - 1]++;
    }
    for (size_t v = 0; v < column->n_values; v++)
        column->inverse[v] = 1.0 / column->totals[v];
    return true;
}

static void sample_free(struct sample *s)
{
    for (size_t k = 0; s->columns != NULL && k < s->n_columns; k++) {
        free(s->columns[k].ids);
        free(s->columns[k].totals);
        free(s->columns[k].inverse);
        free(s->columns[k].near);
        free(s->columns[k].kin);
    }
    free(s->columns);
    free(s->counts);
    free(s->is_in_a);
    free(s->members);
}

static csm_status sample_make(const csm_tokens *a, const csm_tokens *b, struct sample *s,
                              csm_error *err)
{
    memset(s, 0, sizeof *s);
    s->n_a = a->n_frames;
    s->n_b = b->n_frames;
    s->n_columns = a->n_codebooks < b->n_codebooks ? a->n_codebooks : b->n_codebooks;
    size_t n = s->n_a + s->n_b;
    bool is_ok = n < UINT32_MAX;
    struct valued *scratch = is_ok ? malloc(n * sizeof *scratch + 1) : NULL;
    s->columns = calloc(s->n_columns, sizeof *s->columns);
    s->counts = malloc((n + 1) * sizeof *s->counts);
    s->is_in_a = malloc(n + 1);
    s->members = malloc((s->n_a + 1) * sizeof *s->members);
    is_ok = scratch != NULL && s->columns != NULL && s->counts != NULL && s->is_in_a != NULL &&
            s->members != NULL;
    for (size_t k = 0; is_ok && k < s->n_columns; k++)
        is_ok = fill_column(a, b, k, scratch, &s->columns[k]);
    free(scratch);
    if (is_ok)
        return CSM_OK;
    sample_free(s);
    memset(s, 0, sizeof *s);
    return csm_fail(err, CSM_NO_MEMORY, "comparison of %zu and %zu frames: out of memory",
                    a->n_frames, b->n_frames);
}

/* ---- the statistic ------------------------------------------------------------- */

/* Count A's members into s->counts; gives chi-square. */
static double chi_square(struct sample *s, const struct column *column)
{
    memset(s->counts, 0, column->n_values * sizeof *s->counts);
    double sum = 0; /* of a_v^2 / n_v: (a+1)^2 - a^2 = 2a + 1 */
    for (size_t i = 0; i < s->n_a; i++) {
        uint32_t v = column->ids[s->members[i]];
        sum += (double)(2 * s->counts[v]++ + 1) * column->inverse[v];
    }
    double n_a = (double)s->n_a, n_b = (double)s->n_b, n = n_a + n_b;
    return n * n / (n_a * n_b) * (sum - n_a * n_a / n);
}

/* Pairs of equal codes nearer than `block`, and what they leave of each frame's kin. */
static bool find_near_pairs(const struct sample *s, struct column *column, size_t block)
{
    size_t n = s->n_a + s->n_b, room = 0;
    column->kin = malloc((n + 1) * sizeof *column->kin);
    if (column->kin == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        column->kin[i] = column->totals[column->ids[i]] - 1.0;
    for (size_t lag = 1; lag < block && column->n_near < MOST_PAIRS; lag++)
        for (size_t i = 0; i + lag < n && column->n_near < MOST_PAIRS; i++) {
            if (column->ids[i] != column->ids[i + lag] || (i < s->n_a && i + lag >= s->n_a))
                continue;
            if (column->n_near == room) {
                room = room == 0 ? 256 : 2 * room;
                struct near_pair *grown = realloc(column->near, room * sizeof *grown);
                if (grown == NULL)
                    return false;
                column->near = grown;
            }
            column->near[column->n_near++] = (struct near_pair){(uint32_t)i, (uint32_t)(i + lag)};
            column->kin[i]--;
            column->kin[i + lag]--;
        }
    for (size_t i = 0; i < n; i++)
        column->kin[i] *= column->inverse[column->ids[i]];
    return true;
}

/* The test's statistic; counts A's members into s->counts. */
static double pair_statistic(struct sample *s, const struct column *column)
{
    memset(s->counts, 0, column->n_values * sizeof *s->counts);
    double sum = 0, kin = 0; /* of (a_v^2 - a_v) / n_v: 2a is added by the next */
    for (size_t i = 0; i < s->n_a; i++) {
        uint32_t v = column->ids[s->members[i]];
        sum += (double)(2 * s->counts[v]++) * column->inverse[v];
        kin += column->kin[s->members[i]];
    }
    for (size_t i = 0; i < column->n_near; i++) {
        const struct near_pair *pair = &column->near[i];
        if (s->is_in_a[pair->first] & s->is_in_a[pair->second])
            sum -= 2 * column->inverse[column->ids[pair->first]];
    }
    double n_a = (double)s->n_a, n_b = (double)s->n_b, n = n_a + n_b;
    return n * n / (n_a * n_b) * (sum - 2 * n_a / n * kin);
}

/* Sum of the smaller probabilities, of the counts that chi_square left. */
static double similarity(const struct sample *s, const struct column *column)
{
    double sum = 0;
    for (size_t v = 0; v < column->n_values; v++) {
        double p = s->counts[v] / (double)s->n_a;
        double q = (column->totals[v] - s->counts[v]) / (double)s->n_b;
        sum += p < q ? p : q;
    }
    return sum;
}

static double entropy_term(double p, double mean)
{
    return p > 0 ? p * log2(p / mean) : 0;
}

static void describe(const struct sample *s, const struct column *column, csm_difference *out)
{
    size_t n_both = 0;
    for (size_t v = 0; v < column->n_values; v++) {
        double p = s->counts[v] / (double)s->n_a;
        double q = (column->totals[v] - s->counts[v]) / (double)s->n_b;
        double mean = (p + q) / 2;
        n_both += p > 0 && q > 0;
        out->jensen_shannon += entropy_term(p, mean) / 2 + entropy_term(q, mean) / 2;
    }
    out->overlap = (double)n_both / (double)column->n_values;
    out->similarity = fmin(similarity(s, column), 1); /* a sum of shares, rounded */
    out->total_variation = 1 - out->similarity;
}

/* ---- permutations --------------------------------------------------------------- */

/* Frames after which a frame is like any other: the first lag at which codes do
 * not equal those before more often than at lags far apart, doubled. */
static size_t dependence(const csm_tokens *t, size_t n_columns)
{
    size_t n = t->n_frames, last = n / 4 < MOST_LAG ? n / 4 : MOST_LAG;
    size_t block = 1;
    for (size_t lag = 1; lag <= last; lag++) {
        double sum = 0, squares = 0;
        size_t far = n / 2, n_pairs = n - far;
        for (size_t f = 0; f < n_pairs; f++) {
            double excess = 0; /* equal codes `lag` frames on, less those half the stream on */
            const int32_t *now = t->codes + f * t->n_codebooks;
            for (size_t k = 0; k < n_columns; k++)
                excess += (now[k] == now[lag * t->n_codebooks + k]) -
                          (now[k] == now[far * t->n_codebooks + k]);
            sum += excess;
            squares += excess * excess;
        }
        double mean = sum / (double)n_pairs;
        double error = sqrt((squares / (double)n_pairs - mean * mean) / (double)n_pairs);
        if (!(mean > 2 * error) || n_pairs < 8)
            break;
        block = 2 * (lag + 1);
    }
    return block;
}

/* Put blocks of frames to A at random until A is full; the rest is B's. */
static void permute(struct sample *s, size_t block, uint32_t *order, uint64_t *random)
{
    size_t n = s->n_a + s->n_b, n_blocks = (n + block - 1) / block, n_in = 0;
    /* blocks begin anywhere, so that none is always the short one */
    size_t shift = next_random(random) % block;
    n_blocks += shift != 0;
    for (size_t i = 0; i < n_blocks; i++)
        order[i] = (uint32_t)i;
    memset(s->is_in_a, 0, n);
    for (size_t i = 0; i < n_blocks && n_in < s->n_a; i++) {
        size_t j = i + next_random(random) % (n_blocks - i);
        uint32_t chosen = order[j];
        order[j] = order[i];
        size_t first = chosen * block > shift ? chosen * block - shift : 0;
        size_t end = (chosen + 1) * block - shift;
        for (size_t f = first; f < end && f < n && n_in < s->n_a; f++) {
            s->is_in_a[f] = 1;
            n_in++;
        }
    }
    n_in = 0;
    for (size_t f = 0; f < n; f++)
        if (s->is_in_a[f])
            s->members[n_in++] = (uint32_t)f;
}

struct null_moments {
    double seen; /* the statistic as it is */
    double sum, squares;
    size_t n;
};

static csm_status run_test(struct sample *s, uint64_t seed, csm_comparison *out,
                           struct null_moments *null, csm_error *err)
{
    size_t n = s->n_a + s->n_b, columns = s->n_columns;
    size_t *at_least = calloc(columns + 1, sizeof *at_least);
    double *seen = calloc(columns + 1, sizeof *seen);
    double *expected = calloc(columns + 1, sizeof *expected);
    uint32_t *order = malloc((n + 2) * sizeof *order);
    if (at_least == NULL || seen == NULL || expected == NULL || order == NULL) {
        free(at_least);
        free(seen);
        free(expected);
        free(order);
        return csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
    }
    size_t affordable = WORK / (s->n_a * columns + 1);
    size_t rounds = affordable > MOST_PERMUTATIONS     ? MOST_PERMUTATIONS
                    : affordable < FEWEST_PERMUTATIONS ? FEWEST_PERMUTATIONS
                                                       : affordable;
    uint64_t random = seed ^ 0x63736d2d74657374u; /* any constant: permutations of their own */
    const double slack = 1e-7; /* equal statistics, rounded differently */
    for (size_t k = 0; k < columns; k++)
        null->seen += seen[k] = pair_statistic(s, &s->columns[k]);
    for (size_t round = 0; round < rounds; round++) {
        permute(s, out->block_frames, order, &random);
        double sum = 0;
        for (size_t k = 0; k < columns; k++) {
            double statistic = pair_statistic(s, &s->columns[k]);
            at_least[k] += statistic >= seen[k] - slack;
            sum += statistic;
            if (round < N_EXPECTED)
                expected[k] += similarity(s, &s->columns[k]) / N_EXPECTED;
        }
        at_least[columns] += sum >= null->seen - slack;
        null->sum += sum;
        null->squares += sum * sum;
        null->n++;
    }
    out->n_permutations = rounds;
    for (size_t k = 0; k < columns; k++) {
        out->codebooks[k].p_value = (1.0 + (double)at_least[k]) / (1.0 + (double)rounds);
        out->codebooks[k].similarity_expected = expected[k];
        out->all.similarity_expected += expected[k] / (double)columns;
    }
    out->all.p_value = (1.0 + (double)at_least[columns]) / (1.0 + (double)rounds);
    free(at_least);
    free(seen);
    free(expected);
    free(order);
    return CSM_OK;
}

/* What it takes to see a difference. Beyond its mean under one distribution, the
 * statistic grows in proportion to the frames; its spread there hardly does. */
static void state_power(const struct sample *s, const struct null_moments *null,
                        csm_comparison *out)
{
    double mean = null->sum / (double)null->n;
    double variance = null->squares / (double)null->n - mean * mean;
    double needed = z_power * sqrt(variance > 0 ? variance : 0);
    double excess = null->seen - mean;
    double harmonic = (double)s->n_a * (double)s->n_b / (double)(s->n_a + s->n_b);
    /* A difference spread evenly, |p - q| = 2 TV p, gives chi-square 4 TV^2 a frame; codes
     * that were seen once tell nothing. */
    double telling = 0;
    for (size_t k = 0; k < s->n_columns; k++)
        telling += 1 - (double)s->columns[k].n_values / (double)(s->n_a + s->n_b);
    double detectable = telling > 0 ? sqrt(needed / (4 * harmonic * telling)) : 1;
    out->detectable = detectable < 1 ? detectable : 1;
    double n = (double)(s->n_a < s->n_b ? s->n_a : s->n_b);
    if (excess > 0 && needed > 0 && needed / excess * n < 1e9)
        out->frames_needed = (size_t)ceil(needed / excess * n);
}

csm_status csm_two_sample_test(const csm_tokens *a, const csm_tokens *b, uint64_t seed,
                               csm_comparison *out, csm_error *err)
{
    struct sample s;
    struct null_moments null = {0};
    csm_status status = sample_make(a, b, &s, err);
    if (status != CSM_OK)
        return status;
    out->n_codebooks = s.n_columns;
    out->n_frames = s.n_a < s.n_b ? s.n_a : s.n_b;
    out->all = (csm_difference){.p_value = 1};
    out->is_alike = true;
    out->block_frames = 1;
    out->codebooks = calloc(s.n_columns, sizeof *out->codebooks);
    if (out->codebooks == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
        goto end;
    }
    if (out->n_frames == 0) {
        for (size_t k = 0; k < s.n_columns; k++)
            out->codebooks[k].p_value = 1;
        out->detectable = 1;
        goto end;
    }

    for (size_t i = 0; i < s.n_a; i++)
        s.members[i] = (uint32_t)i;
    memset(s.is_in_a, 0, s.n_a + s.n_b);
    memset(s.is_in_a, 1, s.n_a);
    double n_columns = (double)s.n_columns;
    for (size_t k = 0; k < s.n_columns; k++) {
        csm_difference *one = &out->codebooks[k];
        one->chi_square = chi_square(&s, &s.columns[k]);
        describe(&s, &s.columns[k], one);
        size_t n_equal = 0;
        for (size_t f = 0; f < out->n_frames; f++)
            n_equal += a->codes[f * a->n_codebooks + k] == b->codes[f * b->n_codebooks + k];
        one->agreement = (double)n_equal / (double)out->n_frames;
        out->all.chi_square += one->chi_square;
        out->all.overlap += one->overlap / n_columns;
        out->all.similarity += one->similarity / n_columns;
        out->all.jensen_shannon += one->jensen_shannon / n_columns;
        out->all.agreement += one->agreement / n_columns;
    }
    out->all.similarity = fmin(out->all.similarity, 1);
    out->all.total_variation = 1 - out->all.similarity;

    size_t block_a = dependence(a, s.n_columns), block_b = dependence(b, s.n_columns);
    out->block_frames = block_a > block_b ? block_a : block_b;
    if (out->block_frames > out->n_frames / 4) /* eight blocks at least */
        out->block_frames = out->n_frames < 16 ? 1 : out->n_frames / 4;
    for (size_t k = 0; k < s.n_columns; k++)
        if (!find_near_pairs(&s, &s.columns[k], out->block_frames)) {
            status = csm_fail(err, CSM_NO_MEMORY, "comparison: out of memory");
            goto end;
        }
    status = run_test(&s, seed, out, &null, err);
    if (status != CSM_OK)
        goto end;
    state_power(&s, &null, out);
    out->is_alike = out->all.p_value >= level;
end:
    sample_free(&s);
    return status;
}
