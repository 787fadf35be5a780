/* SPDX-License-Identifier: Apache-2.0
 *
 * analysis_text.c - an analysis for a terminal of 80 columns. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/escape.h"
#include "analysis/series.h"
#include "base/error.h"
#include "base/numbers.h"

enum { WIDTH = 80, MOST_BINS = 76 };

struct page {
    FILE *to;
    bool has_colour;
};

static void style(const struct page *p, const char *code)
{
    if (p->has_colour)
        csm_print(p->to, "\033[%sm", code);
}

/* Blocks from an eighth to a whole; the lowest for anything above zero. */
static void spark(const struct page *p, const double *values, size_t n, double highest)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    for (size_t i = 0; i < n; i++) {
        double share = highest > 0 && values[i] > 0 ? values[i] / highest : 0;
        int level = (int)ceil(share * 8) - 1;
        fputs(!(values[i] > 0) ? " " : blocks[level < 0 ? 0 : level > 7 ? 7 : level], p->to);
    }
}

static double highest_of(const double *values, size_t n)
{
    double highest = 0;
    for (size_t i = 0; i < n; i++)
        highest = values[i] > highest ? values[i] : highest;
    return highest;
}

/* Text out of a file, made safe for a terminal and cut to n bytes. */
static void safe(const struct page *p, const char *text, size_t n)
{
    size_t cut = csm_escape_cut(text, n);
    for (size_t i = 0; i < cut; i++)
        fputc((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i], p->to);
    if (text[cut] != '\0')
        fputs("...", p->to);
}

/* Words broken into lines of WIDTH, each after `indent` blanks. */
static void wrap(const struct page *p, const char *text, int indent)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " \n");
        if (column != 0 && column + 1 + length > WIDTH) {
            fputc('\n', p->to);
            column = 0;
        }
        if (column == 0)
            column = csm_print(p->to, "%*s", indent, "");
        else
            column += csm_print(p->to, " ");
        csm_print(p->to, "%.*s", length, text);
        column += length;
        text += length;
        while (*text == ' ' || *text == '\n')
            text++;
    }
    fputc('\n', p->to);
}

/* A line that may be longer than the terminal is wide. */
static void say(const struct page *p, const char *format, ...) CSM_PRINTF(2, 3);
static void say(const struct page *p, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    csm_vformat(line, sizeof line, format, args);
    va_end(args);
    wrap(p, line, 2);
}

static void heading(const struct page *p, const char *text)
{
    fputc('\n', p->to);
    style(p, "1");
    fputs(text, p->to);
    style(p, "0");
    fputc('\n', p->to);
}

/* ---- one stream --------------------------------------------------------------- */

/* "seed 42, temperature 0.9, top-k 50, transformers on torch-cpu, bf16" */
static void tell_settings(const struct page *p, const csm_tokens *t)
{
    static const struct {
        const char *key, *word;
    } shown[] = {{"strategy", ""},        {"engine", ""},         {"precision", ""},
                 {"dtype", "sampler in "}, {"seed", "seed "},     {"temperature", "temperature "},
                 {"topk", "top-k "},      {"stream", "stream "}, {"sampler", "sampler "}};
    char line[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *value = csm_tokens_metadata(t, shown[i].key);
        if (value != NULL && n < sizeof line)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%s%.*s", n == 0 ? "" : ", ",
                                  shown[i].word, (int)csm_escape_cut(value, 40), value);
    }
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    if (n != 0)
        wrap(p, line, 2);
}

static void tell_stream(const struct page *p, const char *label, const csm_tokens *t,
                        const csm_stream_stats *s)
{
    static const char *const ended[] = {"", ", ended by itself", ", cut by the limit"};
    style(p, "1");
    csm_print(p->to, "%s", label);
    safe(p, t->name, WIDTH - strlen(label) - 3);
    style(p, "0");
    csm_print(p->to, "\n  %zu frames of %zu codes, %.2f s%s", t->n_frames, t->n_codebooks,
            s->seconds, ended[s->ended]);
    if (s->all.longest_run > 1)
        csm_print(p->to, "; longest run of one frame %zu", s->all.longest_run);
    fputc('\n', p->to);
    tell_settings(p, t);
    const char *text = csm_tokens_metadata(t, "text");
    if (text != NULL) {
        fputs("  \"", p->to);
        safe(p, text, WIDTH - 7);
        fputs("\"\n", p->to);
    }
    if (s->health.has_logits)
        say(p, "logits %.4g..%.4g; rows: %zu dead, %zu saturated; NaN %zu, Inf %zu",
            s->health.lowest, s->health.highest, s->health.n_dead, s->health.n_saturated,
            s->health.n_nan, s->health.n_inf);
    for (size_t part = 0; part < 2; part++)
        if (s->fit[part].has_fit)
            say(p, "%s fit temperature %.3f +- %.3f, ranks up to %zu (%zu draws)",
                part == 0 ? "backbone:" : "depth:", s->fit[part].temperature, s->fit[part].error,
                s->fit[part].highest_rank, s->fit[part].n);
    if (s->has_silence)
        csm_print(p->to, "  silence %.0f %%, sound in frames %zu..%zu\n", 100 * s->silence,
                s->first_sound_frame, s->last_sound_frame);
    if (*s->warnings != '\0') {
        style(p, "33");
        for (const char *line = s->warnings; *line != '\0';) {
            size_t n = strcspn(line, "\n");
            say(p, "! %.*s", (int)n, line);
            line += n + 1;
        }
        style(p, "0");
    }
}

/* A code, in six columns at most: 538976288 is 5e+08. */
static void short_code(int32_t code, char text[16])
{
    if (code > -100000 && code < 100000)
        snprintf(text, 16, "%" PRId32, code);
    else
        csm_format(text, 16, "%.0e", (double)code);
}

static void codebook_table(const struct page *p, const csm_tokens *t, const csm_stream_stats *s)
{
    enum { BINS = 24 };
    double bins[BINS];
    csm_print(p->to, "\n  cb unique entropy      range  zero  run repeat  codes 0..%zu\n",
            s->vocab - 1);
    for (size_t k = 0; k <= t->n_codebooks; k++) {
        const csm_code_stats *one = k < t->n_codebooks ? &s->codebooks[k] : &s->all;
        char name[24], lowest[16], highest[16], range[40];
        snprintf(name, sizeof name, "%zu", k);
        short_code(one->lowest, lowest);
        short_code(one->highest, highest);
        snprintf(range, sizeof range, "%s..%s", lowest, highest);
        csm_print(p->to, " %3s %6zu %7.2f %10s %5zu %4zu %4.0f %%  ",
                k < t->n_codebooks ? name : "all", one->n_unique, one->entropy_bits, range,
                one->n_zero, one->longest_run, 100 * one->repeated);
        csm_series_histogram(t, s->vocab, k, BINS, bins);
        spark(p, bins, BINS, highest_of(bins, BINS));
        fputc('\n', p->to);
    }
}

/* ---- two streams ---------------------------------------------------------------- */

static void verdict_box(const struct page *p, const csm_comparison *c)
{
    style(p, c->holds ? "1;32" : c->verdict == CSM_VERDICT_NOISE ? "1;33" : "1;31");
    csm_print(p->to, "%s", csm_verdict_name(c->verdict));
    style(p, "0");
    if (strcmp(c->cause, "none") != 0 && strcmp(c->cause, csm_verdict_name(c->verdict)) != 0)
        csm_print(p->to, ": %s", c->cause);
    csm_print(p->to, "   (%.0f %% sure, from %s)\n", 100 * c->confidence, c->evidence);
    wrap(p, c->explanation, 2);
}

static void difference_table(const struct page *p, const csm_analysis *analysis)
{
    enum { BINS = 12 };
    const csm_comparison *c = &analysis->comparison;
    const csm_tokens *sides[2] = {analysis->a, analysis->b};
    double bins[2][BINS];
    csm_print(p->to, "\n  cb overlap similar expected   JS     p    agree  %-*s %-*s\n", BINS,
            "codes of A", BINS, "codes of B");
    for (size_t k = 0; k <= c->n_codebooks; k++) {
        bool is_all = k == c->n_codebooks;
        const csm_difference *d = is_all ? &c->all : &c->codebooks[k];
        char name[24];
        snprintf(name, sizeof name, "%zu", k);
        csm_print(p->to, " %3s  %5.1f %%  %5.3f   %5.3f %6.3f ", is_all ? "all" : name,
                100 * d->overlap, d->similarity, d->similarity_expected, d->jensen_shannon);
        if (d->p_value < 0.05)
            style(p, "31");
        csm_print(p->to, "%5.3f", d->p_value);
        if (d->p_value < 0.05)
            style(p, "0");
        csm_print(p->to, " %5.1f %%  ", 100 * d->agreement);
        for (size_t i = 0; i < 2; i++)
            csm_series_histogram(sides[i], analysis->stats[i].vocab,
                                 is_all ? sides[i]->n_codebooks : k, BINS, bins[i]);
        double highest = fmax(highest_of(bins[0], BINS), highest_of(bins[1], BINS));
        spark(p, bins[0], BINS, highest);
        fputc(' ', p->to);
        spark(p, bins[1], BINS, highest);
        fputc('\n', p->to);
    }
}

/* Mean over codebooks of a map, one block a part of the frames. */
static bool timeline(const struct page *p, const char *title, const csm_analysis *analysis,
                     bool is_margin)
{
    const csm_comparison *c = &analysis->comparison;
    size_t n_bins = c->n_frames < MOST_BINS ? c->n_frames : MOST_BINS;
    double *map = malloc((c->n_codebooks * n_bins + 1) * sizeof *map);
    if (map == NULL)
        return false;
    double line[MOST_BINS];
    bool has_any = false;
    if (is_margin)
        csm_series_margins(analysis->a, analysis->b, c->n_codebooks, n_bins, map);
    else
        csm_series_differing(analysis->a, analysis->b, c->n_codebooks, n_bins, map);
    for (size_t i = 0; i < n_bins; i++) {
        double sum = 0;
        size_t n = 0;
        for (size_t k = 0; k < c->n_codebooks; k++)
            if (!isnan(map[k * n_bins + i])) {
                sum += map[k * n_bins + i];
                n++;
            }
        /* margins: 0.001 is nothing, 10 a full block */
        line[i] = n == 0 ? 0 : is_margin ? (sum / (double)n + 3) / 4 : sum / (double)n;
        has_any = has_any || n != 0;
    }
    free(map);
    if (has_any) {
        csm_print(p->to, "\n  %s\n  ", title);
        spark(p, line, n_bins, 1);
        csm_print(p->to, "\n  0%*zu\n", (int)n_bins - 1 > 0 ? (int)n_bins - 1 : 1,
                c->n_frames - (c->n_frames != 0));
    }
    return true;
}

static void forced_table(const struct page *p, const csm_forced *f)
{
    enum { SHOWN = 20 };
    size_t n_unequal = f->n_draws - f->n_equal;
    heading(p, "Given one history");
    say(p, "%zu of %zu draws equal: %.4f %%; logits differ by at most %.3g", f->n_equal, f->n_draws,
        100 * (double)f->n_equal / (double)f->n_draws, f->logit_error);
    if (n_unequal != 0) {
        say(p, "%zu of %zu others within what that moves a race", f->n_close, n_unequal);
        csm_print(p->to, "\n  frame  cb      A      B  margin A  margin B  logit error  reach\n");
    }
    for (size_t i = 0; i < n_unequal && i < SHOWN; i++) {
        const csm_unequal_draw *d = &f->unequal[i];
        char a[16], b[16];
        short_code(d->code_a, a);
        short_code(d->code_b, b);
        csm_print(p->to, "  %5zu %3zu %6s %6s %9.2g %9.2g %12.2g %6.2g%s\n", d->frame, d->codebook, a,
                b, d->margin_a, d->margin_b, d->logit_error, d->reach, d->is_close ? "" : "  !");
    }
    if (n_unequal > SHOWN)
        csm_print(p->to, "  and %zu more: --json has them all\n", n_unequal - SHOWN);
}

static bool tell_comparison(const struct page *p, const csm_analysis *analysis)
{
    const csm_comparison *c = &analysis->comparison;
    const csm_divergence *d = &c->first;
    heading(p, "Verdict");
    verdict_box(p, c);
    if (d->exists && d->code_a >= 0 && d->code_b >= 0) {
        heading(p, "First divergence");
        csm_print(p->to, "  frame %zu, codebook %zu, after %zu equal draws\n", d->frame, d->codebook,
                d->n_equal);
        csm_print(p->to, "  A %6d   margin %-9.4g probability %-9.4g\n", d->code_a, d->margin_a,
                d->prob_a);
        csm_print(p->to, "  B %6d   margin %-9.4g probability %-9.4g\n", d->code_b, d->margin_b,
                d->prob_b);
        if (!isnan(d->shift))
            say(p, "logit of %d less that of %d: %.5g in A, %.5g in B: race moved by %.3g",
                d->code_a, d->code_b, d->lead_a, d->lead_b, d->shift);
    }
    if (c->forced.n_frames != 0)
        forced_table(p, &c->forced);
    heading(p, "Distributions");
    say(p,
             "%s: chi-square over %zu codebooks, p = %.3g by %zu permutations of blocks of %zu "
             "frame%s. With %zu frames, a total variation of %.2f would be seen four times of "
             "five.",
             c->is_alike ? "Alike" : "Not alike", c->n_codebooks, c->all.p_value,
             c->n_permutations, c->block_frames, c->block_frames == 1 ? "" : "s", c->n_frames,
             c->detectable);
    if (c->is_alike && c->frames_needed > c->n_frames)
        say(p, "If the difference seen is real, %zu frames would show it.", c->frames_needed);
    difference_table(p, analysis);
    return timeline(p, "share of codes that differ, by frame", analysis, false) &&
           timeline(p, "margins by frame (0.001 empty, 10 full)", analysis, true);
}

csm_status csm_analysis_text(const csm_analysis *analysis, bool has_colour, char **text,
                             csm_error *err)
{
    char *made = NULL;
    size_t size = 0;
    struct page page = {.to = open_memstream(&made, &size), .has_colour = has_colour};
    if (page.to == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "report: out of memory");
    bool is_ok = true;
    if (analysis->b == NULL) {
        tell_stream(&page, "", analysis->a, &analysis->stats[0]);
        codebook_table(&page, analysis->a, &analysis->stats[0]);
    } else {
        tell_stream(&page, "A ", analysis->a, &analysis->stats[0]);
        tell_stream(&page, "B ", analysis->b, &analysis->stats[1]);
        is_ok = tell_comparison(&page, analysis);
    }
    if (fclose(page.to) != 0 || !is_ok) {
        free(made);
        return csm_fail(err, CSM_NO_MEMORY, "report: out of memory");
    }
    *text = made;
    return CSM_OK;
}
