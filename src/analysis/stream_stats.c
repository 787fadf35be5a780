/* SPDX-License-Identifier: Apache-2.0
 *
 * stream_stats.c - counts, entropy, repetition, the end of one stream. */
#include "analysis/stream_stats.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"

enum {
    DEFAULT_VOCAB = 2051,
    N_SPECIAL = 3,      /* of CSM's vocabulary: values above the codec's entries */
    LOOP_PERIODS = 25,  /* two seconds */
    STUCK_FRAMES = 13   /* one second */
};
static const double frame_seconds = 0.08;
static const double silence_rms = 0.001; /* -60 dB of full scale */

double csm_tokens_number(const csm_tokens *tokens, const char *key, double missing)
{
    const char *text = csm_tokens_metadata(tokens, key);
    double value = missing;
    return text != NULL && csm_read_number(text, &value) ? value : missing;
}

/* ---- one codebook ----------------------------------------------------------- */

static int by_value(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* Keep the most frequent; of equal counts the smaller code. */
static void offer_top(csm_code_stats *stats, int32_t code, size_t count)
{
    size_t at = stats->n_top < CSM_TOP_CODES ? stats->n_top++ : CSM_TOP_CODES;
    if (at == CSM_TOP_CODES) {
        if (stats->top[CSM_TOP_CODES - 1].count >= count)
            return;
        at = CSM_TOP_CODES - 1;
    }
    for (; at > 0 && stats->top[at - 1].count < count; at--)
        stats->top[at] = stats->top[at - 1];
    stats->top[at] = (csm_code_count){code, count};
}

static void count_codes(const csm_stream_stats *ranges, int32_t *codes, size_t n,
                        csm_code_stats *stats)
{
    stats->n = n;
    qsort(codes, n, sizeof *codes, by_value);
    stats->lowest = n != 0 ? codes[0] : 0;
    stats->highest = n != 0 ? codes[n - 1] : 0;
    for (size_t i = 0, next; i < n; i = next) {
        int32_t code = codes[i];
        for (next = i; next < n && codes[next] == code; next++) {
        }
        size_t count = next - i;
        double p = (double)count / (double)n;
        stats->entropy_bits -= p * log2(p);
        stats->n_unique++;
        offer_top(stats, code, count);
        if (code < 0 || (size_t)code >= ranges->vocab)
            stats->n_out_of_range += count;
        else if ((size_t)code >= ranges->n_entries)
            stats->n_reserved += count;
        if (code == 0)
            stats->n_zero += count;
    }
}

/* Runs of equal neighbours in column k of `width` columns; k == K: whole frames. */
static void count_runs(const csm_tokens *t, size_t k, csm_code_stats *stats)
{
    size_t run = 1, repeats = 0, width = t->n_codebooks;
    bool is_frame = k == width;
    stats->longest_run = t->n_frames != 0;
    for (size_t f = 1; f < t->n_frames; f++) {
        const int32_t *now = t->codes + f * width, *before = now - width;
        bool is_equal = is_frame ? memcmp(now, before, width * sizeof *now) == 0
                                 : now[k] == before[k];
        repeats += is_equal;
        run = is_equal ? run + 1 : 1;
        if (run > stats->longest_run) {
            stats->longest_run = run;
            stats->run_frame = f + 1 - run;
        }
    }
    stats->repeated = t->n_frames > 1 ? (double)repeats / (double)(t->n_frames - 1) : 0;
}

static csm_status codebook_stats(const csm_tokens *t, csm_stream_stats *stats, csm_error *err)
{
    size_t n = t->n_frames, n_codebooks = t->n_codebooks;
    int32_t *column = malloc(n * sizeof *column + 1);
    stats->codebooks = calloc(n_codebooks, sizeof *stats->codebooks);
    if (column == NULL || stats->codebooks == NULL) {
        free(column);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    }
    csm_code_stats *all = &stats->all;
    for (size_t k = 0; k < n_codebooks; k++) {
        csm_code_stats *one = &stats->codebooks[k];
        for (size_t f = 0; f < n; f++)
            column[f] = t->codes[f * n_codebooks + k];
        count_codes(stats, column, n, one);
        count_runs(t, k, one);
        all->n += one->n;
        all->n_unique += one->n_unique;
        all->lowest = k == 0 || one->lowest < all->lowest ? one->lowest : all->lowest;
        all->highest = k == 0 || one->highest > all->highest ? one->highest : all->highest;
        all->entropy_bits += one->entropy_bits / (double)n_codebooks;
        all->n_zero += one->n_zero;
        all->n_reserved += one->n_reserved;
        all->n_out_of_range += one->n_out_of_range;
        all->repeated += one->repeated / (double)n_codebooks;
    }
    csm_code_stats frames = {0};
    count_runs(t, n_codebooks, &frames);
    all->longest_run = frames.longest_run;
    all->run_frame = frames.run_frame;
    free(column);
    return CSM_OK;
}

/* ---- loops and silence -------------------------------------------------------- */

/* A frame repeats another if codebook 0, which carries the sounds of speech, and
 * at least half of all codes do. */
static bool repeats(const int32_t *a, const int32_t *b, size_t n_codebooks)
{
    if (a[0] != b[0])
        return false;
    size_t n_equal = 0;
    for (size_t k = 0; k < n_codebooks; k++)
        n_equal += a[k] == b[k];
    return 2 * n_equal >= n_codebooks;
}

static void find_loop(const csm_tokens *t, csm_stream_stats *stats)
{
    for (size_t period = 1; period <= LOOP_PERIODS; period++) {
        size_t run = 0;
        for (size_t f = period; f < t->n_frames; f++) {
            const int32_t *now = t->codes + f * t->n_codebooks;
            run = repeats(now, now - period * t->n_codebooks, t->n_codebooks) ? run + 1 : 0;
            /* a whole turn more, and longer than the loops of smaller periods */
            if (run >= period && run + period > stats->loop_frames) {
                stats->loop_frames = run + period;
                stats->loop_period = period;
                stats->loop_frame = f + 1 - run - period;
            }
        }
    }
    stats->is_stuck = stats->loop_frames >= STUCK_FRAMES;
}

static void measure_silence(const csm_tokens *t, csm_stream_stats *stats)
{
    size_t size = (size_t)(t->sample_rate_hz * frame_seconds + 0.5);
    if (t->samples == NULL || size == 0 || t->n_samples < size)
        return;
    size_t n_frames = t->n_samples / size, n_silent = 0;
    stats->has_silence = true;
    bool has_sound = false;
    for (size_t f = 0; f < n_frames; f++) {
        double sum = 0;
        for (size_t i = 0; i < size; i++)
            sum += (double)t->samples[f * size + i] * t->samples[f * size + i];
        if (!(sqrt(sum / (double)size) >= silence_rms)) {
            n_silent++;
            continue;
        }
        stats->last_sound_frame = f;
        if (!has_sound)
            stats->first_sound_frame = f;
        has_sound = true;
    }
    stats->silence = (double)n_silent / (double)n_frames;
}

/* ---- warnings ----------------------------------------------------------------- */

static void warn(FILE *to, const char *format, ...) CSM_PRINTF(2, 3);
static void warn(FILE *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    csm_vprint(to, format, args);
    va_end(args);
    fputc('\n', to);
}

static csm_status write_warnings(const csm_tokens *t, csm_stream_stats *stats, csm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    const csm_code_stats *all = &stats->all;
    const csm_health *health = &stats->health;
    if (t->n_frames == 0)
        warn(to, "no frame: the model ended its speech at once, or the file is empty");
    if (all->n_out_of_range != 0)
        warn(to, "%zu codes are outside 0..%zu: they come from no head of the model",
             all->n_out_of_range, stats->vocab - 1);
    if (all->n_reserved != 0)
        warn(to, "%zu codes are in %zu..%zu, for which the codec has no sound", all->n_reserved,
             stats->n_entries, stats->vocab - 1);
    if (health->has_bad)
        warn(to, "logits hold NaN or Inf (%zu values), first at frame %zu, codebook %zu",
             health->n_nan + health->n_inf, health->bad_frame, health->bad_codebook);
    if (health->n_dead != 0)
        warn(to, "%zu rows of logits are dead: all values the same", health->n_dead);
    if (2 * health->n_saturated > health->n_rows)
        warn(to, "%zu of %zu rows of logits are saturated: one code has all the probability",
             health->n_saturated, health->n_rows);
    static const char *const keys[] = {"temperature", "depth_temperature"};
    for (size_t i = 0; i < 2; i++) {
        double temperature = csm_tokens_number(t, keys[i], 1);
        if (temperature != 0 && (temperature < 0.5 || temperature > 1.2))
            warn(to, "%s %g is outside 0.5..1.2: %s", keys[i], temperature,
                 temperature < 0.5 ? "speech becomes flat and may loop" : "speech falls apart");
    }
    if (stats->is_stuck)
        warn(to, "stuck: from frame %zu on, %zu frames repeat every %zu", stats->loop_frame,
             stats->loop_frames, stats->loop_period);
    if (stats->ended == CSM_ENDED_BY_LIMIT)
        warn(to, "speech did not end by itself: the length limit cut it");
    if (stats->has_silence && stats->silence > 0.5)
        warn(to, "%.0f %% of the sound is silence", 100 * stats->silence);
    if (fclose(to) != 0) {
        free(text);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    }
    stats->warnings = text;
    return CSM_OK;
}

csm_status csm_stream_stats_make(const csm_tokens *t, const csm_analyze_options *options,
                                 csm_stream_stats *stats, csm_error *err)
{
    memset(stats, 0, sizeof *stats);
    stats->vocab = options->vocab != 0 ? options->vocab : t->vocab != 0 ? t->vocab : DEFAULT_VOCAB;
    stats->n_entries = options->n_entries != 0 ? options->n_entries
                       : stats->vocab > N_SPECIAL ? stats->vocab - N_SPECIAL
                                                  : stats->vocab;
    if (stats->n_entries > stats->vocab)
        return csm_fail(err, CSM_BAD_ARG, "%zu entries, expected at most the vocabulary's %zu",
                        stats->n_entries, stats->vocab);
    stats->seconds = (double)t->n_frames * frame_seconds;
    const char *ended = csm_tokens_metadata(t, "ended");
    stats->ended = ended == NULL                   ? CSM_ENDED_UNKNOWN
                   : strcmp(ended, "true") == 0  ? CSM_ENDED_ITSELF
                   : strcmp(ended, "false") == 0 ? CSM_ENDED_BY_LIMIT
                                                 : CSM_ENDED_UNKNOWN;
    csm_status status = codebook_stats(t, stats, err);
    if (status != CSM_OK)
        return status;
    find_loop(t, stats);
    measure_silence(t, stats);
    if ((status = csm_health_check(t, &stats->health, err)) != CSM_OK ||
        (status = csm_sampler_fit_make(t, stats->fit, err)) != CSM_OK)
        return status;
    return write_warnings(t, stats, err);
}

void csm_stream_stats_free(csm_stream_stats *stats)
{
    free((char *)stats->warnings);
    free(stats->health.rows);
    free(stats->codebooks);
    memset(stats, 0, sizeof *stats);
}
