/* SPDX-License-Identifier: Apache-2.0
 *
 * analysis_html.c - an analysis as one page that needs nothing else: no script,
 * pictures as inline SVG, sound as data. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/escape.h"
#include "analysis/pictures.h"
#include "analysis/tokens.h"
#include "base/error.h"
#include "base/numbers.h"
#include "base/output.h"

/* Longer sound is cut: the page would not open. */
static const double most_seconds = 120;

static const char style_text[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--line:#e3e7ee;--soft:#f0f2f6;"
    "--good:#1f7a4d;--goodbg:#e7f5ed;--warn:#8a5a00;--warnbg:#fdf3dc;--bad:#a8261c;"
    "--badbg:#fdeceb}\n"
    "body{margin:0;background:var(--bg);color:var(--i0);font:15px/1.5 system-ui,-apple-system,"
    "'Segoe UI',Roboto,sans-serif}\n"
    "main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}\n"
    "h1{font-size:20px;margin:0 0 18px;font-weight:600}\n"
    "h2{font-size:16px;margin:0 0 2px;font-weight:600}\n"
    "p{margin:4px 0}.note{color:var(--i1);font-size:13px;margin:0 0 12px}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:18px 20px;margin:0 0 16px}\n"
    ".verdict{border-left:6px solid}.good{border-left-color:var(--good)}"
    ".warn{border-left-color:var(--warn)}.bad{border-left-color:var(--bad)}\n"
    ".verdict strong{font-size:26px;font-weight:650;letter-spacing:-.01em}"
    ".good strong{color:var(--good)}.warn strong{color:var(--warn)}.bad strong{color:var(--bad)}\n"
    ".verdict .cause{font-size:18px;margin-left:8px;color:var(--i1)}\n"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:16px}"
    "@media(max-width:720px){.two{grid-template-columns:1fr}}\n"
    ".two .card{margin:0}.two{margin:0 0 16px}\n"
    ".tag{display:inline-block;color:#fff;border-radius:5px;padding:0 8px;margin-right:8px;"
    "font-weight:600}.tag.a{background:var(--i3)}.tag.b{background:var(--i4)}\n"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:2px 14px;margin:10px 0 0;font-size:14px}"
    "dt{color:var(--i1)}dd{margin:0;overflow-wrap:anywhere}\n"
    ".name{font-weight:600;overflow-wrap:anywhere}\n"
    ".warning{background:var(--warnbg);color:var(--warn);border-radius:6px;padding:4px 10px;"
    "font-size:14px;margin-top:8px}\n"
    "audio{width:100%;margin-top:12px}\n"
    "svg{display:block;width:100%;height:auto;font-family:inherit}\n"
    ".scale{display:inline-flex;vertical-align:-2px;margin:0 6px}"
    ".scale i{width:14px;height:12px;display:block}\n"
    ".wide{overflow-x:auto}"
    "@media(max-width:720px){.wide svg{min-width:680px}.verdict dl{display:block}"
    ".verdict dt{margin-top:6px}}\n"
    "table{border-collapse:collapse;font-size:13px;width:100%;"
    "font-variant-numeric:tabular-nums}th{color:var(--i1);font-weight:500;text-align:right;"
    "padding:3px 8px;border-bottom:1px solid var(--line);white-space:nowrap}"
    "td{text-align:right;padding:2px 8px;border-bottom:1px solid var(--soft)}"
    ".total tr:last-child td{font-weight:600;border-bottom:0}"
    "td.low{color:var(--i5);font-weight:600}\n"
    "footer{color:var(--i1);font-size:13px;margin-top:24px}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1a202a;--line:#2c3442;"
    "--soft:#222a36;--good:#5fd398;--warn:#f0c060;--warnbg:#3a2f16;--bad:#ff7a6e;"
    "--goodbg:#173325;--badbg:#3b1d1b}}\n";

/* The inks of the pictures, as variables and classes: both from one table. */
static void write_inks(FILE *to)
{
    for (int is_dark = 0; is_dark < 2; is_dark++) {
        fputs(is_dark ? "@media(prefers-color-scheme:dark){:root{" : ":root{", to);
        for (int ink = 0; ink < CSM_INK_COUNT; ink++)
            csm_print(to, "--i%d:%s;", ink, csm_ink_colour((enum csm_ink)ink, is_dark));
        fputs(is_dark ? "}}\n" : "}\n", to);
    }
    for (int ink = 0; ink < CSM_INK_COUNT; ink++)
        csm_print(to, ".i%d{fill:var(--i%d)}", ink, ink);
    fputc('\n', to);
}

/* ---- sound ------------------------------------------------------------------------ */

static void write_base64(FILE *to, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned long word = (unsigned long)bytes[i] << 16;
        word |= i + 1 < n ? (unsigned long)bytes[i + 1] << 8 : 0;
        word |= i + 2 < n ? bytes[i + 2] : 0;
        fputc(digits[word >> 18], to);
        fputc(digits[word >> 12 & 63], to);
        fputc(i + 1 < n ? digits[word >> 6 & 63] : '=', to);
        fputc(i + 2 < n ? digits[word & 63] : '=', to);
    }
}

static void put_little(unsigned char *at, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* A WAV of 16 bits, which every browser plays. */
static bool write_audio(FILE *to, const csm_tokens *t)
{
    if (t->n_samples == 0)
        return true;
    size_t most = (size_t)(most_seconds * t->sample_rate_hz);
    size_t n = t->n_samples < most ? t->n_samples : most;
    unsigned char *wav = malloc(44 + 2 * n);
    if (wav == NULL)
        return false;
    memcpy(wav, "RIFF....WAVEfmt ", 16);
    put_little(wav + 4, (uint32_t)(36 + 2 * n), 4);
    put_little(wav + 16, 16, 4);
    put_little(wav + 20, 1, 2); /* PCM, mono */
    put_little(wav + 22, 1, 2);
    put_little(wav + 24, (uint32_t)t->sample_rate_hz, 4);
    put_little(wav + 28, 2 * (uint32_t)t->sample_rate_hz, 4);
    put_little(wav + 32, 2, 2);
    put_little(wav + 34, 16, 2);
    memcpy(wav + 36, "data", 4);
    put_little(wav + 40, (uint32_t)(2 * n), 4);
    for (size_t i = 0; i < n; i++) {
        float x = t->samples[i] < -1 ? -1 : t->samples[i] > 1 ? 1 : t->samples[i];
        put_little(wav + 44 + 2 * i, (uint32_t)(int32_t)lrintf((isnan(x) ? 0 : x) * 32767), 2);
    }
    fputs("<audio controls preload=\"metadata\" src=\"data:audio/wav;base64,", to);
    write_base64(to, wav, 44 + 2 * n);
    fputs("\"></audio>\n", to);
    free(wav);
    if (n < t->n_samples)
        csm_print(to, "<p class=\"note\">The first %.0f s.</p>\n", most_seconds);
    return true;
}

/* ---- parts of the page --------------------------------------------------------------- */

static void fact(FILE *to, const char *name, const char *format, ...) CSM_PRINTF(3, 4);
static void fact(FILE *to, const char *name, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    csm_vformat(text, sizeof text, format, args);
    va_end(args);
    csm_print(to, "<dt>%s</dt><dd>", name);
    csm_escape_html(to, text);
    fputs("</dd>\n", to);
}

static bool write_stream(FILE *to, char letter, const csm_tokens *t, const csm_stream_stats *s)
{
    static const char *const ended[] = {"not known", "the model", "the length limit"};
    fputs("<section class=\"card\"><div class=\"name\">", to);
    if (letter != '\0')
        csm_print(to, "<span class=\"tag %c\">%c</span>", letter, letter - 'a' + 'A');
    csm_escape_html(to, t->name);
    fputs("</div>\n<dl>", to);
    fact(to, "Length", "%zu frames of %zu codes, %.2f s", t->n_frames, t->n_codebooks, s->seconds);
    fact(to, "Ended by", "%s", ended[s->ended]);
    for (enum csm_metadata_key k = 0; k < CSM_METADATA_COUNT; k++) {
        const char *value = csm_tokens_metadata(t, csm_metadata_name(k));
        if (value != NULL && strcmp(csm_metadata_name(k), "ended") != 0)
            fact(to, csm_metadata_name(k), "%s", value);
    }
    fact(to, "Different codes", "%zu; entropy %.2f bits; %zu zeros", s->all.n_unique,
         s->all.entropy_bits, s->all.n_zero);
    fact(to, "Repetition", "%.1f %% of codes; longest run of one frame %zu",
         100 * s->all.repeated, s->all.longest_run);
    if (s->has_silence)
        fact(to, "Silence", "%.0f %%", 100 * s->silence);
    if (s->health.has_logits)
        fact(to, "Logits", "%.4g..%.4g; %zu NaN, %zu Inf, %zu rows dead, %zu saturated",
             s->health.lowest, s->health.highest, s->health.n_nan, s->health.n_inf,
             s->health.n_dead, s->health.n_saturated);
    for (int part = 0; part < 2; part++)
        if (s->fit[part].has_fit)
            fact(to, part == 0 ? "Backbone fit" : "Depth fit",
                 "temperature %.3f ± %.3f, ranks to %zu, of %zu draws", s->fit[part].temperature,
                 s->fit[part].error, s->fit[part].highest_rank, s->fit[part].n);
    fputs("</dl>\n", to);
    for (const char *line = s->warnings; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        char one[256];
        snprintf(one, sizeof one, "%.*s", (int)n, line);
        fputs("<div class=\"warning\">", to);
        csm_escape_html(to, one);
        fputs("</div>\n", to);
        line += n + (line[n] == '\n');
    }
    bool is_ok = write_audio(to, t);
    fputs("</section>\n", to);
    return is_ok;
}

static void write_verdict(FILE *to, const csm_analysis *analysis)
{
    const csm_comparison *c = &analysis->comparison;
    const csm_divergence *d = &c->first;
    csm_print(to, "<section class=\"card verdict %s\"><strong>%s</strong>",
            c->holds                             ? "good"
            : c->verdict == CSM_VERDICT_NOISE ? "warn"
                                              : "bad",
            csm_verdict_name(c->verdict));
    if (strcmp(c->cause, "none") != 0 && strcmp(c->cause, csm_verdict_name(c->verdict)) != 0) {
        fputs("<span class=\"cause\">", to);
        for (const char *letter = c->cause; *letter != '\0'; letter++)
            fputc(*letter == '_' ? ' ' : *letter, to);
        fputs("</span>", to);
    }
    fputs("<p>", to);
    csm_escape_html(to, c->explanation);
    csm_print(to, "</p><p class=\"note\">%.0f %% sure, from %s.</p>\n<dl>", 100 * c->confidence,
            c->evidence);
    if (d->exists && d->code_a >= 0 && d->code_b >= 0) {
        fact(to, "First divergence", "frame %zu, codebook %zu, after %zu equal draws", d->frame,
             d->codebook, d->n_equal);
        fact(to, "Candidates",
             "A %" PRId32 " (margin %.3g, probability %.3g), B %" PRId32
             " (margin %.3g, probability %.3g)",
             d->code_a, d->margin_a, d->prob_a, d->code_b, d->margin_b, d->prob_b);
        if (!isnan(d->shift))
            fact(to, "Lead of A's candidate", "%.4g in A's logits, %.4g in B's; race moved by %.3g",
                 d->lead_a, d->lead_b, d->shift);
    }
    if (c->n_logit_rows != 0)
        fact(to, "Logits",
             "differ by %.2g of their spread, at most %.3g, over %zu rows of equal history",
             c->logit_relative, c->logit_error, c->n_logit_rows);
    if (c->first_layer != NULL)
        fact(to, "First layer that differs", "%s", c->first_layer);
    fact(to, "Distributions",
         "%s, p = %.3g (chi-square, %zu permutations of blocks of %zu frame%s); similarity %.3f, "
         "%.3f expected if alike",
         c->is_alike ? "alike" : "not alike", c->all.p_value, c->n_permutations, c->block_frames,
         c->block_frames == 1 ? "" : "s", c->all.similarity, c->all.similarity_expected);
    fact(to, "Sample size",
         "%zu frames show a total variation of %.2f with power 0.8%s", c->n_frames, c->detectable,
         c->frames_needed > c->n_frames ? "; the difference seen needs more" : "");
    fputs("</dl></section>\n", to);
}

static void write_scale(FILE *to)
{
    fputs("<span class=\"scale\">", to);
    for (int i = 0; i < CSM_HEAT_LEVELS; i++)
        csm_print(to, "<i style=\"background:var(--i%d)\"></i>", CSM_INK_HEAT + i);
    fputs("</span>", to);
}

static bool write_pictures(FILE *to, const csm_analysis *analysis)
{
    size_t n;
    const struct csm_picture *pictures = csm_pictures(&n);
    struct csm_canvas canvas = csm_canvas_svg(to);
    bool is_ok = true;
    for (size_t i = 0; i < n && is_ok; i++) {
        double height = pictures[i].height(analysis);
        if (!(height > 0))
            continue;
        bool is_map = strcmp(pictures[i].name, "differing") == 0 ||
                      strcmp(pictures[i].name, "margins") == 0;
        csm_print(to, "<section class=\"card\" id=\"%s\"><h2>%s</h2><p class=\"note\">%s",
                pictures[i].name, pictures[i].title, pictures[i].caption);
        if (is_map)
            write_scale(to);
        csm_print(to, "</p>\n<div class=\"wide\"><svg viewBox=\"0 0 %d %.5g\" role=\"img\" aria-label=\"%s\">\n",
                CSM_PICTURE_WIDTH, height, pictures[i].title);
        is_ok = pictures[i].draw(analysis, &canvas);
        fputs("</svg></div></section>\n", to);
    }
    return is_ok;
}

static void write_differences(FILE *to, const csm_comparison *c)
{
    fputs("<section class=\"card\"><h2>Codebooks</h2><div class=\"wide\">"
          "<table class=\"total\"><tr><th></th>"
          "<th>overlap</th><th>similarity</th><th>expected</th><th>total variation</th>"
          "<th>Jensen-Shannon</th><th>chi-square</th><th>p</th><th>agreement</th></tr>\n",
          to);
    for (size_t k = 0; k <= c->n_codebooks; k++) {
        const csm_difference *d = k < c->n_codebooks ? &c->codebooks[k] : &c->all;
        if (k < c->n_codebooks)
            csm_print(to, "<tr><td>%zu</td>", k);
        else
            fputs("<tr><td>all</td>", to);
        csm_print(to,
                "<td>%.1f %%</td><td>%.3f</td><td>%.3f</td><td>%.3f</td><td>%.3f</td>"
                "<td>%.1f</td><td%s>%.3f</td><td>%.1f %%</td></tr>\n",
                100 * d->overlap, d->similarity, d->similarity_expected, d->total_variation,
                d->jensen_shannon, d->chi_square, d->p_value < 0.05 ? " class=\"low\"" : "",
                d->p_value, 100 * d->agreement);
    }
    fputs("</table></div></section>\n", to);
}

static void write_forced(FILE *to, const csm_forced *f)
{
    enum { SHOWN = 200 };
    size_t n_unequal = f->n_draws - f->n_equal;
    csm_print(to,
            "<section class=\"card\" id=\"forced\"><h2>Given one history</h2><p class=\"note\">"
            "%zu of %zu draws are equal, %.4f %%. The logits differ by at most %.3g; %zu of the "
            "%zu unequal draws were won by no more than that moves a race.</p>\n",
            f->n_equal, f->n_draws, 100 * (double)f->n_equal / (double)f->n_draws, f->logit_error,
            f->n_close, n_unequal);
    if (n_unequal != 0)
        fputs("<div class=\"wide\"><table><tr><th>frame</th><th>codebook</th><th>A</th><th>B</th>"
              "<th>margin in A</th><th>margin in B</th><th>logit error</th><th>reach</th></tr>\n",
              to);
    for (size_t i = 0; i < n_unequal && i < SHOWN; i++) {
        const csm_unequal_draw *d = &f->unequal[i];
        csm_print(to,
                "<tr><td>%zu</td><td>%zu</td><td>%" PRId32 "</td><td>%" PRId32
                "</td><td%s>%.3g</td><td>%.3g</td><td>%.3g</td><td>%.3g</td></tr>\n",
                d->frame, d->codebook, d->code_a, d->code_b, d->is_close ? "" : " class=\"low\"",
                d->margin_a, d->margin_b, d->logit_error, d->reach);
    }
    fputs(n_unequal != 0 ? "</table></div></section>\n" : "</section>\n", to);
}

static void write_codebooks(FILE *to, const csm_tokens *t, const csm_stream_stats *s)
{
    fputs("<section class=\"card\"><h2>Codebooks</h2><div class=\"wide\">"
          "<table class=\"total\"><tr><th></th>"
          "<th>different</th><th>entropy</th><th>range</th><th>zeros</th><th>longest run</th>"
          "<th>repeated</th><th>most frequent</th></tr>\n",
          to);
    for (size_t k = 0; k <= t->n_codebooks; k++) {
        const csm_code_stats *one = k < t->n_codebooks ? &s->codebooks[k] : &s->all;
        if (k < t->n_codebooks)
            csm_print(to, "<tr><td>%zu</td>", k);
        else
            fputs("<tr><td>all</td>", to);
        csm_print(to,
                "<td>%zu</td><td>%.2f</td><td>%" PRId32 "..%" PRId32
                "</td><td>%zu</td><td>%zu</td><td>%.1f %%</td><td>",
                one->n_unique, one->entropy_bits, one->lowest, one->highest, one->n_zero,
                one->longest_run, 100 * one->repeated);
        for (size_t i = 0; i < one->n_top && i < 3; i++)
            csm_print(to, "%s%" PRId32 " (%zu)", i == 0 ? "" : ", ", one->top[i].code,
                    one->top[i].count);
        fputs("</td></tr>\n", to);
    }
    fputs("</table></div></section>\n", to);
}

static bool write_page(FILE *to, const csm_analysis *analysis)
{
    const csm_tokens *a = analysis->a, *b = analysis->b;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          to);
    if (b != NULL)
        csm_print(to, "%s: ", csm_verdict_name(analysis->comparison.verdict));
    csm_escape_html(to, a->name);
    if (b != NULL) {
        fputs(" and ", to);
        csm_escape_html(to, b->name);
    }
    fputs("</title>\n<style>\n", to);
    fputs(style_text, to);
    write_inks(to);
    csm_print(to, "</style></head><body><main>\n<h1>%s</h1>\n",
            b != NULL ? "Two token streams compared" : "A token stream");
    bool is_ok;
    if (b != NULL) {
        write_verdict(to, analysis);
        fputs("<div class=\"two\">\n", to);
        is_ok = write_stream(to, 'a', a, &analysis->stats[0]) &&
                write_stream(to, 'b', b, &analysis->stats[1]);
        fputs("</div>\n", to);
    } else {
        is_ok = write_stream(to, '\0', a, &analysis->stats[0]);
    }
    if (b != NULL && analysis->comparison.forced.n_frames != 0)
        write_forced(to, &analysis->comparison.forced);
    is_ok = is_ok && write_pictures(to, analysis);
    if (b != NULL)
        write_differences(to, &analysis->comparison);
    else
        write_codebooks(to, a, &analysis->stats[0]);
    csm_print(to, "<footer>csm %s</footer>\n</main></body></html>\n", csm_version());
    return is_ok;
}

csm_status csm_analysis_html(const csm_analysis *analysis, const char *path, csm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    bool is_ok = write_page(to, analysis);
    is_ok = fclose(to) == 0 && is_ok;
    csm_status status = is_ok ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    csm_output *out = NULL;
    if (status == CSM_OK)
        status = csm_output_open(path, &out, err);
    if (status == CSM_OK && (status = csm_output_write(out, text, size, err)) != CSM_OK) {
        csm_output_discard(out);
        out = NULL;
    }
    if (status == CSM_OK)
        status = csm_output_commit(out, err);
    free(text);
    return status;
}
