/* SPDX-License-Identifier: Apache-2.0
 *
 * analysis_json.c - an analysis as one JSON object: docs/ANALYZER.md has its keys. */
#include <jansson.h>

#include <math.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/arithmetic.h"
#include "base/error.h"

/* JSON knows no NaN or infinity: null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(size_t value)
{
    return json_integer((json_int_t)value);
}

/* Text out of files may hold anything; what is no UTF-8 is left out byte by byte. */
static json_t *string(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char clean[1024];
    size_t n = 0;
    for (; *text != '\0' && n + 1 < sizeof clean; text++)
        if ((unsigned char)*text < 0x80)
            clean[n++] = *text;
    clean[n] = '\0';
    return json_string(clean);
}

static json_t *code_stats(const csm_code_stats *stats, bool has_top)
{
    json_t *object = json_pack(
        "{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "count", count(stats->n),
        "unique", count(stats->n_unique), "lowest", stats->lowest, "highest", stats->highest,
        "entropy_bits", number(stats->entropy_bits), "zeros", count(stats->n_zero), "reserved",
        count(stats->n_reserved), "out_of_range", count(stats->n_out_of_range), "longest_run",
        count(stats->longest_run), "longest_run_frame", count(stats->run_frame), "repeated",
        number(stats->repeated));
    json_t *top = has_top && object != NULL ? json_array() : NULL;
    for (size_t i = 0; top != NULL && i < stats->n_top; i++)
        json_array_append_new(
            top, json_pack("{s:i, s:o}", "code", stats->top[i].code, "count",
                           count(stats->top[i].count)));
    if (top != NULL)
        json_object_set_new(object, "top", top);
    return object;
}

static json_t *health(const csm_health *h)
{
    if (!h->has_logits)
        return json_null();
    json_t *object = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "rows", count(h->n_rows),
                               "nan", count(h->n_nan), "inf", count(h->n_inf), "dead",
                               count(h->n_dead), "saturated", count(h->n_saturated), "lowest",
                               number(h->lowest), "highest", number(h->highest));
    if (object != NULL && h->has_bad)
        json_object_set_new(object, "first_bad",
                            json_pack("{s:o, s:o}", "frame", count(h->bad_frame), "codebook",
                                      count(h->bad_codebook)));
    return object;
}

static json_t *fit(const csm_sampler_fit *f)
{
    if (!f->has_fit)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "draws", count(f->n), "temperature",
                     number(f->temperature), "error", number(f->error), "highest_rank",
                     count(f->highest_rank));
}

static json_t *lines(const char *text)
{
    json_t *array = json_array();
    for (const char *end; array != NULL && (end = strchr(text, '\n')) != NULL; text = end + 1)
        json_array_append_new(array, json_stringn(text, (size_t)(end - text)));
    return array;
}

static json_t *stream(const csm_tokens *t, const csm_stream_stats *s)
{
    static const char *const ended[] = {NULL, "itself", "limit"};
    json_t *codebooks = json_array(), *metadata = json_object();
    for (size_t k = 0; k < t->n_codebooks; k++)
        json_array_append_new(codebooks, code_stats(&s->codebooks[k], true));
    for (enum csm_metadata_key k = 0; k < CSM_METADATA_COUNT; k++) {
        const char *value = csm_tokens_metadata(t, csm_metadata_name(k));
        if (value != NULL)
            json_object_set_new(metadata, csm_metadata_name(k), string(value));
    }
    json_t *loop = json_null();
    if (s->loop_frames != 0)
        loop = json_pack("{s:o, s:o, s:o}", "frame", count(s->loop_frame), "period",
                         count(s->loop_period), "frames", count(s->loop_frames));
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "file", string(t->name), "frames", count(t->n_frames), "codebooks", count(t->n_codebooks),
        "vocab", count(s->vocab), "entries", count(s->n_entries), "seconds", number(s->seconds),
        "metadata", metadata, "ended_by", ended[s->ended], "stuck", (int)s->is_stuck, "loop", loop,
        "silence", s->has_silence ? number(s->silence) : json_null(), "all",
        code_stats(&s->all, false), "health", health(&s->health), "sampler_fit",
        json_pack("{s:o, s:o}", "backbone", fit(&s->fit[0]), "depth", fit(&s->fit[1])),
        "warnings", lines(s->warnings), "per_codebook", codebooks);
}

static json_t *difference(const csm_difference *d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "overlap", number(d->overlap),
                     "similarity", number(d->similarity), "similarity_expected",
                     number(d->similarity_expected), "total_variation",
                     number(d->total_variation), "jensen_shannon", number(d->jensen_shannon),
                     "chi_square", number(d->chi_square), "p_value", number(d->p_value),
                     "agreement", number(d->agreement));
}

static json_t *divergence(const csm_divergence *d)
{
    if (!d->exists)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "frame",
                     count(d->frame), "codebook", count(d->codebook), "equal_draws",
                     count(d->n_equal), "code_a", d->code_a, "code_b", d->code_b, "margin_a",
                     number(d->margin_a), "margin_b", number(d->margin_b), "prob_a",
                     number(d->prob_a), "prob_b", number(d->prob_b), "lead_a", number(d->lead_a),
                     "lead_b", number(d->lead_b), "shift", number(d->shift));
}

static json_t *forced(const csm_forced *f)
{
    if (f->n_frames == 0)
        return json_null();
    json_t *unequal = json_array();
    for (size_t i = 0; i < f->n_draws - f->n_equal; i++) {
        const csm_unequal_draw *d = &f->unequal[i];
        json_array_append_new(
            unequal, json_pack("{s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:b}", "frame",
                               count(d->frame), "codebook", count(d->codebook), "code_a", d->code_a,
                               "code_b", d->code_b, "margin_a", number(d->margin_a), "margin_b",
                               number(d->margin_b), "logit_error", number(d->logit_error), "reach",
                               number(d->reach), "close", (int)d->is_close));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "frames", count(f->n_frames), "draws",
                     count(f->n_draws), "equal", count(f->n_equal), "close", count(f->n_close),
                     "logit_error", number(f->logit_error), "unequal", unequal);
}

/* The keys of the comparison stand at the top, where scripts look for them. */
static void add_comparison(json_t *root, const csm_comparison *c)
{
    json_t *codebooks = json_array(), *all = difference(&c->all);
    for (size_t k = 0; k < c->n_codebooks; k++)
        json_array_append_new(codebooks, difference(&c->codebooks[k]));
    json_object_set_new(root, "verdict", json_string(csm_verdict_name(c->verdict)));
    json_object_set_new(root, "cause", json_string(c->cause));
    json_object_set_new(root, "explanation", string(c->explanation));
    json_object_set_new(root, "evidence", json_string(c->evidence));
    json_object_set_new(root, "confidence", number(c->confidence));
    json_object_set_new(root, "holds", json_boolean(c->holds));
    json_object_set_new(root, "alike", json_boolean(c->is_alike));
    json_object_set_new(root, "first_divergence", divergence(&c->first));
    json_object_update(root, all);
    json_decref(all);
    json_object_set_new(root, "frames_compared", count(c->n_frames));
    json_object_set_new(
        root, "test",
        json_pack("{s:s, s:f, s:o, s:o, s:o, s:o, s:o}", "name",
                  "two-sample chi-square of codes, block permutations", "level", 0.05, "p_value",
                  number(c->all.p_value), "permutations", count(c->n_permutations),
                  "block_frames", count(c->block_frames), "detectable_total_variation",
                  number(c->detectable), "frames_needed",
                  c->frames_needed != 0 ? count(c->frames_needed) : json_null()));
    json_object_set_new(
        root, "logits",
        c->n_logit_rows == 0
            ? json_null()
            : json_pack("{s:o, s:o, s:o}", "rows_compared", count(c->n_logit_rows),
                        "largest_difference", number(c->logit_error), "relative_difference",
                        number(c->logit_relative)));
    json_object_set_new(root, "first_layer",
                        c->first_layer != NULL ? string(c->first_layer) : json_null());
    json_object_set_new(root, "forced", forced(&c->forced));
    json_object_set_new(root, "per_codebook", codebooks);
}

static csm_status write_json(const csm_analysis *analysis, char **text, csm_error *err)
{
    json_t *root = json_object();
    if (root != NULL) {
        json_object_set_new(root, "version", json_string(csm_version()));
        if (analysis->b != NULL)
            add_comparison(root, &analysis->comparison);
        json_object_set_new(root, "a", stream(analysis->a, &analysis->stats[0]));
        if (analysis->b != NULL)
            json_object_set_new(root, "b", stream(analysis->b, &analysis->stats[1]));
    }
    char *made = root != NULL ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (made == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "report: out of memory");
    *text = made;
    return CSM_OK;
}

csm_status csm_analysis_json(const csm_analysis *analysis, char **text, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin(); /* decimals are rounded, too */
    const csm_status st = write_json(analysis, text, err);
    csm_arithmetic_end(&host);
    return st;
}
