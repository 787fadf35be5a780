/* SPDX-License-Identifier: Apache-2.0 */
#include "analysis/pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/series.h"
#include "base/numbers.h"

static const double width = CSM_PICTURE_WIDTH;

static size_t n_codebooks(const csm_analysis *analysis)
{
    return analysis->b != NULL ? analysis->comparison.n_codebooks : analysis->a->n_codebooks;
}

static void label(const struct csm_canvas *c, enum csm_ink ink, double x, double y,
                  enum csm_anchor anchor, const char *format, double value)
{
    char text[64];
    csm_format(text, sizeof text, format, value);
    c->text(c->surface, ink, x, y, anchor, 11, text);
}

/* ---- histograms: one small picture a codebook, A upwards, B downwards ------------- */

enum { CELLS = 8, BINS = 32 };
static const double cell_height = 92, cell_gap = 12;

static double histograms_height(const csm_analysis *analysis)
{
    size_t rows = (n_codebooks(analysis) + CELLS - 1) / CELLS;
    return analysis->a->n_frames != 0 ? (double)rows * cell_height : 0;
}

static bool draw_histograms(const csm_analysis *analysis, const struct csm_canvas *c)
{
    const csm_tokens *sides[2] = {analysis->a, analysis->b};
    size_t columns = n_codebooks(analysis), n_sides = 1 + (analysis->b != NULL);
    double cell_width = width / CELLS;
    for (size_t k = 0; k < columns; k++) {
        double bins[2][BINS] = {{0}}, highest = 0;
        for (size_t i = 0; i < n_sides; i++)
            csm_series_histogram(sides[i], analysis->stats[i].vocab, k, BINS, bins[i]);
        for (size_t i = 0; i < n_sides; i++)
            for (size_t j = 0; j < BINS; j++)
                highest = fmax(highest, bins[i][j]);
        double x0 = (double)(k % CELLS) * cell_width;
        double top = (double)(k / CELLS) * cell_height + 16;
        double room = cell_height - 16 - cell_gap, reach = n_sides == 2 ? room / 2 : room;
        double axis = top + reach, step = (cell_width - cell_gap) / BINS;
        struct csm_box line = {x0, axis - 0.25, cell_width - cell_gap, 0.5};
        c->boxes(c->surface, CSM_INK_GRID, &line, 1);
        for (size_t i = 0; i < n_sides; i++) {
            struct csm_box bars[BINS];
            size_t n = 0;
            for (size_t j = 0; j < BINS; j++) {
                double h = highest > 0 ? bins[i][j] / highest * (reach - 1) : 0;
                if (h > 0)
                    bars[n++] = (struct csm_box){x0 + (double)j * step,
                                                 i == 0 ? axis - 0.5 - h : axis + 0.5, step * 0.86,
                                                 h};
            }
            c->boxes(c->surface, i == 0 ? CSM_INK_A : CSM_INK_B, bars, n);
        }
        label(c, CSM_INK_MUTED, x0, top - 4, CSM_ANCHOR_START, "codebook %.0f", (double)k);
        if (n_sides == 2 && analysis->comparison.codebooks[k].p_value < 0.05)
            label(c, CSM_INK_BAD, x0 + cell_width - cell_gap, top - 4, CSM_ANCHOR_END, "p %.3f",
                  analysis->comparison.codebooks[k].p_value);
    }
    return true;
}

/* ---- bars per codebook --------------------------------------------------------------- */

static const double bars_height = 190, bars_left = 44, bars_bottom = 22;

/* Values in 0..top on an axis of four steps. */
static void bar_axes(const struct csm_canvas *c, double top, const char *format)
{
    double plot = bars_height - bars_bottom - 10;
    for (int i = 0; i <= 4; i++) {
        double y = 10 + plot * (4 - i) / 4;
        struct csm_box line = {bars_left, y, width - bars_left, 0.75};
        c->boxes(c->surface, CSM_INK_GRID, &line, 1);
        label(c, CSM_INK_MUTED, bars_left - 6, y + 4, CSM_ANCHOR_END, format, top * i / 4);
    }
}

static void bar(const struct csm_canvas *c, enum csm_ink ink, double x, double w, double share)
{
    double plot = bars_height - bars_bottom - 10;
    double h = plot * (share < 0 ? 0 : share > 1 ? 1 : share);
    struct csm_box box = {x, 10 + plot - h, w, h};
    c->boxes(c->surface, ink, &box, 1);
}

static void codebook_names(const struct csm_canvas *c, size_t n)
{
    double step = (width - bars_left) / (double)n;
    size_t every = n > 64 ? 8 : n > 40 ? 2 : 1;
    for (size_t k = 0; k < n; k += every)
        label(c, CSM_INK_MUTED, bars_left + step * ((double)k + 0.5), bars_height - 6,
              CSM_ANCHOR_MIDDLE, "%.0f", (double)k);
}

static double similarity_height(const csm_analysis *analysis)
{
    return analysis->b != NULL && analysis->comparison.n_frames != 0 ? bars_height : 0;
}

static bool draw_similarity(const csm_analysis *analysis, const struct csm_canvas *c)
{
    const csm_comparison *all = &analysis->comparison;
    double step = (width - bars_left) / (double)all->n_codebooks;
    double plot = bars_height - bars_bottom - 10;
    bar_axes(c, 1, "%.2f");
    for (size_t k = 0; k < all->n_codebooks; k++) {
        const csm_difference *d = &all->codebooks[k];
        double x = bars_left + step * (double)k;
        bar(c, d->p_value < 0.05 ? CSM_INK_BAD : CSM_INK_A, x + step * 0.15, step * 0.7,
            d->similarity);
        struct csm_box mark = {x + step * 0.05, 10 + plot * (1 - d->similarity_expected) - 1,
                               step * 0.9, 2};
        c->boxes(c->surface, CSM_INK_TEXT, &mark, 1);
    }
    codebook_names(c, all->n_codebooks);
    return true;
}

static double entropy_height(const csm_analysis *analysis)
{
    return analysis->a->n_frames != 0 ? bars_height : 0;
}

static bool draw_entropy(const csm_analysis *analysis, const struct csm_canvas *c)
{
    size_t columns = n_codebooks(analysis), n_sides = 1 + (analysis->b != NULL);
    double step = (width - bars_left) / (double)columns, highest = 1;
    for (size_t i = 0; i < n_sides; i++)
        for (size_t k = 0; k < columns; k++)
            highest = fmax(highest, analysis->stats[i].codebooks[k].entropy_bits);
    double top = 4 * ceil(highest / 4);
    bar_axes(c, top, "%.0f");
    for (size_t k = 0; k < columns; k++)
        for (size_t i = 0; i < n_sides; i++) {
            double w = step * 0.7 / (double)n_sides;
            bar(c, i == 0 ? CSM_INK_A : CSM_INK_B,
                bars_left + step * ((double)k + 0.15) + w * (double)i, w * 0.94,
                analysis->stats[i].codebooks[k].entropy_bits / top);
        }
    codebook_names(c, columns);
    return true;
}

/* ---- heat maps: frames from left to right, codebooks from top to bottom ------------- */

enum { MOST_COLUMNS = 300 };
static const double map_left = 44, map_bottom = 20;

static size_t frames_shown(const csm_analysis *analysis)
{
    return analysis->b != NULL ? analysis->comparison.n_frames : analysis->a->n_frames;
}

static double map_row(size_t rows)
{
    double height = rows > 24 ? 8 : rows > 12 ? 12 : 18;
    return rows > 200 ? 2 : height;
}

static double map_height(const csm_analysis *analysis)
{
    size_t rows = n_codebooks(analysis);
    return frames_shown(analysis) != 0 ? map_row(rows) * (double)rows + map_bottom : 0;
}

/* bins[row * n_columns + i] in 0..1 (NaN: nothing), cold to hot. */
static bool draw_map(const struct csm_canvas *c, const double *bins, size_t rows,
                     size_t n_columns, size_t n_frames)
{
    double row_height = map_row(rows), step = (width - map_left) / (double)n_columns;
    struct csm_box *boxes = malloc((rows * n_columns + 1) * sizeof *boxes);
    if (boxes == NULL)
        return false;
    for (int level = 0; level < CSM_HEAT_LEVELS; level++) {
        size_t n = 0;
        for (size_t k = 0; k < rows; k++) {
            bool is_open = false; /* neighbours of one level are one box */
            for (size_t i = 0; i < n_columns; i++) {
                double value = bins[k * n_columns + i];
                int own = isnan(value) ? -1 : (int)ceil(value * (CSM_HEAT_LEVELS - 1) - 1e-9);
                if (own != level) {
                    is_open = false;
                    continue;
                }
                if (is_open)
                    boxes[n - 1].width += step;
                else
                    boxes[n++] = (struct csm_box){map_left + (double)i * step,
                                                  (double)k * row_height, step, row_height - 0.8};
                is_open = true;
            }
        }
        c->boxes(c->surface, CSM_INK_HEAT + (enum csm_ink)level, boxes, n);
    }
    free(boxes);
    size_t every = rows > 64 ? rows / 8 : rows > 12 ? 4 : 1;
    for (size_t k = 0; k < rows; k += every)
        label(c, CSM_INK_MUTED, map_left - 6, (double)k * row_height + row_height / 2 + 4,
              CSM_ANCHOR_END, "%.0f", (double)k);
    double y = (double)rows * row_height + 14;
    for (int i = 0; i <= 5; i++) {
        double seconds = (double)n_frames * 0.08 * i / 5;
        label(c, CSM_INK_MUTED, map_left + (width - map_left) * i / 5, y,
              i == 0   ? CSM_ANCHOR_START
              : i == 5 ? CSM_ANCHOR_END
                       : CSM_ANCHOR_MIDDLE,
              seconds < 100 ? "%.1f s" : "%.0f s", seconds);
    }
    return true;
}

static double differing_height(const csm_analysis *analysis)
{
    return analysis->b != NULL ? map_height(analysis) : 0;
}

static bool draw_differing(const csm_analysis *analysis, const struct csm_canvas *c)
{
    size_t rows = n_codebooks(analysis), n_frames = frames_shown(analysis);
    size_t columns = n_frames < MOST_COLUMNS ? n_frames : MOST_COLUMNS;
    double *bins = malloc(rows * columns * sizeof *bins);
    if (bins == NULL)
        return false;
    csm_series_differing(analysis->a, analysis->b, rows, columns, bins);
    bool is_ok = draw_map(c, bins, rows, columns, n_frames);
    free(bins);
    return is_ok;
}

static double margins_height(const csm_analysis *analysis)
{
    bool has_any = analysis->a->margins != NULL ||
                   (analysis->b != NULL && analysis->b->margins != NULL);
    return has_any ? map_height(analysis) : 0;
}

static bool draw_margins(const csm_analysis *analysis, const struct csm_canvas *c)
{
    size_t rows = n_codebooks(analysis), n_frames = frames_shown(analysis);
    size_t columns = n_frames < MOST_COLUMNS ? n_frames : MOST_COLUMNS;
    double *bins = malloc(rows * columns * sizeof *bins);
    if (bins == NULL)
        return false;
    csm_series_margins(analysis->a, analysis->b, rows, columns, bins);
    for (size_t i = 0; i < rows * columns; i++) { /* 10 and above cold, 0.001 hot */
        double heat = (1 - bins[i]) / 4;
        bins[i] = isnan(heat) ? NAN : heat < 0 ? 0 : heat > 1 ? 1 : heat;
    }
    bool is_ok = draw_map(c, bins, rows, columns, n_frames);
    free(bins);
    return is_ok;
}

/* ---- waveforms, one above the other ---------------------------------------------------- */

enum { WAVE_BINS = 900 };
static const double wave_height = 96;

static size_t n_waves(const csm_analysis *analysis)
{
    return (analysis->a->n_samples != 0) +
           (analysis->b != NULL && analysis->b->n_samples != 0 ? 1u : 0u);
}

static double waves_height(const csm_analysis *analysis)
{
    return (double)n_waves(analysis) * wave_height;
}

static bool draw_waves(const csm_analysis *analysis, const struct csm_canvas *c)
{
    const csm_tokens *sides[2] = {analysis->a, analysis->b};
    float lowest[WAVE_BINS], highest[WAVE_BINS];
    struct csm_box bars[WAVE_BINS];
    size_t n_shown = 0, n_drawn = 0;
    for (size_t i = 0; i < 2; i++)
        if (sides[i] != NULL && sides[i]->n_samples > n_shown)
            n_shown = sides[i]->n_samples;
    for (size_t i = 0; i < 2; i++) {
        if (sides[i] == NULL || sides[i]->n_samples == 0)
            continue;
        csm_series_waveform(sides[i], n_shown, WAVE_BINS, lowest, highest);
        double middle = (double)n_drawn++ * wave_height + wave_height / 2;
        double step = (width - map_left) / WAVE_BINS, reach = wave_height / 2 - 4;
        for (size_t j = 0; j < WAVE_BINS; j++) {
            double up = fmin(1, highest[j]) * reach, down = fmax(-1, lowest[j]) * reach;
            bars[j] = (struct csm_box){map_left + (double)j * step, middle - up - 0.3, step,
                                       up - down + 0.6};
        }
        c->boxes(c->surface, i == 0 ? CSM_INK_A : CSM_INK_B, bars, WAVE_BINS);
        c->text(c->surface, i == 0 ? CSM_INK_A : CSM_INK_B, map_left - 8, middle + 5,
                CSM_ANCHOR_END, 15, i == 0 ? "A" : "B");
    }
    return true;
}

const struct csm_picture *csm_pictures(size_t *n)
{
    static const struct csm_picture all[] = {
        {"differing", "Where the codes differ",
         "Frames from left to right, codebooks from top to bottom; the hotter, the more of the "
         "codes there differ.",
         differing_height, draw_differing},
        {"margins", "Margins",
         "By how much each draw was won; hot where a race was close, so that rounding may turn "
         "it. Of two streams, the smaller margin.",
         margins_height, draw_margins},
        {"waves", "Waveforms", "On one time axis.", waves_height, draw_waves},
        {"similarity", "Similarity by codebook",
         "Sum of the smaller probabilities of each code. The line is what two runs of one "
         "distribution would show on average at this length; red where p is below 0.05.",
         similarity_height, draw_similarity},
        {"histograms", "Histograms",
         "Codes from 0 to the end of the vocabulary, A upwards and B downwards.",
         histograms_height, draw_histograms},
        {"entropy", "Entropy by codebook", "Bits of each codebook's histogram.", entropy_height,
         draw_entropy},
    };
    *n = sizeof all / sizeof *all;
    return all;
}
