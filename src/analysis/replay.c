/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - draws made again, with the very samplers that csm generates with.
 *
 * A wrong hypothesis about the noise misses half of its first draws, one about the
 * temperature a few of a hundred: with the misses bounded, most hypotheses cost a
 * few rows, so that hundreds can be tried. */
#include "analysis/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stream_stats.h"
#include "base/error.h"

/* ---- what the metadata says ------------------------------------------------- */

static bool dtype_named(const char *name, csm_dtype *dtype)
{
    static const struct {
        const char *name;
        csm_dtype dtype;
    } names[] = {{"f32", CSM_DTYPE_F32},  {"float32", CSM_DTYPE_F32},  {"bf16", CSM_DTYPE_BF16},
                 {"bfloat16", CSM_DTYPE_BF16}, {"f16", CSM_DTYPE_F16}, {"float16", CSM_DTYPE_F16},
                 {"q8", CSM_DTYPE_F32}, {"q4", CSM_DTYPE_F32}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0) {
            *dtype = names[i].dtype;
            return true;
        }
    return false;
}

static double number_of(const csm_tokens *t, const char *prefix, const char *name, double otherwise)
{
    char key[32];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    return csm_tokens_number(t, key, otherwise);
}

bool csm_settings_claimed(const csm_tokens *t, struct csm_settings *s, bool *has_seed)
{
    memset(s, 0, sizeof *s);
    const char *seed = csm_tokens_metadata(t, "seed");
    const char *sampler = csm_tokens_metadata(t, "sampler");
    const char *stream = csm_tokens_metadata(t, "stream");
    const char *dtype = csm_tokens_metadata(t, "dtype");
    const char *mlx = csm_tokens_metadata(t, "mlx_version");
    char *end = NULL;
    s->seed = seed != NULL ? strtoull(seed, &end, 10) : 0;
    *has_seed = seed != NULL && end != seed && *end == '\0';
    s->temperature[0] = csm_tokens_number(t, "temperature", 0.9);
    s->temperature[1] = csm_tokens_number(t, "depth_temperature", s->temperature[0]);
    double top_k = csm_tokens_number(t, "topk", 50);
    double depth_top_k = csm_tokens_number(t, "depth_topk", top_k);
    s->top_k[0] = top_k > 0 && top_k < 1e6 ? (size_t)top_k : 0;
    s->top_k[1] = depth_top_k > 0 && depth_top_k < 1e6 ? (size_t)depth_top_k : 0;
    static const char *const prefixes[] = {"", "depth_"};
    for (size_t i = 0; i < 2; i++) {
        s->top_p[i] = number_of(t, prefixes[i], "top_p", 1);
        s->min_p[i] = number_of(t, prefixes[i], "min_p", 0);
        s->cutoffs[i] = (csm_cutoffs){.top_h = number_of(t, prefixes[i], "top_h", 0),
                                      .typical_p = number_of(t, prefixes[i], "typical_p", 0),
                                      .epsilon = number_of(t, prefixes[i], "epsilon_cutoff", 0),
                                      .eta = number_of(t, prefixes[i], "eta_cutoff", 0)};
    }
    s->dtype = CSM_DTYPE_F32;
    snprintf(s->mlx_version, sizeof s->mlx_version, "%s", mlx != NULL ? mlx : "");
    s->stream = stream != NULL && strcmp(stream, "none") != 0 ? csm_stream_find(stream)
                                                              : CSM_STREAM_TORCH_CPU;
    s->sampler = sampler != NULL                ? csm_sampler_find(sampler)
                 : s->stream == CSM_STREAM_MLX ? CSM_SAMPLER_CSM_MLX
                                               : CSM_SAMPLER_TRANSFORMERS;
    if (dtype != NULL && !dtype_named(dtype, &s->dtype))
        return false;
    if (csm_tokens_metadata(t, "code_rules") != NULL)
        return false;
    return s->stream != CSM_STREAM_COUNT && s->sampler != CSM_SAMPLER_COUNT &&
           s->temperature[0] >= 0 && s->temperature[1] >= 0;
}

/* ---- one replay --------------------------------------------------------------- */

static csm_status make_sampler(const struct csm_settings *s, csm_sampler **sampler, csm_error *err)
{
    csm_sampler_options config = csm_sampler_defaults();
    config.sampler = s->sampler;
    config.stream = s->stream;
    config.dtype = s->dtype;
    config.seed = s->seed;
    config.temperature = s->temperature[0] > 0 ? s->temperature[0] : 1;
    config.top_k = s->top_k[0];
    config.mlx_version = s->mlx_version[0] != '\0' ? s->mlx_version : NULL;
    return csm_sampler_open(&config, sampler, err);
}

/* By how much one draw over `vocab` values moves the stream. */
static csm_status step_of(csm_sampler *sampler, size_t vocab, const float *flat, uint64_t *step,
                          csm_error *err)
{
    csm_stream *stream = csm_sampler_stream(sampler);
    uint64_t before = csm_stream_save(stream).position;
    int32_t token;
    csm_status status = csm_sampler_draw(sampler, flat, 1, vocab, &token, NULL, NULL, err);
    if (status != CSM_OK)
        return status;
    *step = csm_stream_save(stream).position - before;
    return csm_stream_seek(stream, before, err);
}

/* Whether calls take numbers of the generator one after another, however many. */
static bool is_sequence(csm_stream_kind kind)
{
    return kind == CSM_STREAM_TORCH_CPU;
}

/* A hypothesis with more misses at once is given up, whatever its bound. */
enum { FIRST_MISSES = 3 };

struct player {
    csm_sampler *sampler; /* NULL: greedy */
    csm_stream *stream;
    uint64_t step;
    float *row, *probs, *noise; /* [vocab]: logits, what csm_sampler_draw leaves of them, a race's noise */
};

/* Settings of codebook 0 or of the others, for the draws to come. */
static csm_status set_part(const struct csm_settings *s, struct player *p, size_t part,
                           csm_error *err)
{
    csm_status status = csm_sampler_set_temperature(p->sampler, s->temperature[part], err);
    if (status != CSM_OK)
        return status;
    csm_sampler_set_top_k(p->sampler, s->top_k[part]);
    if ((status = csm_sampler_set_top_p(p->sampler, s->top_p[part], err)) != CSM_OK ||
        (status = csm_sampler_set_min_p(p->sampler, s->min_p[part], err)) != CSM_OK)
        return status;
    return csm_sampler_set_cutoffs(p->sampler, &s->cutoffs[part], err);
}

/* Where the stream stands at a draw; false before its beginning. Greedy draws take no noise. */
static bool position_of(const struct csm_replay *r, const struct csm_settings *s,
                        const struct player *p, size_t draw, uint64_t *position)
{
    const size_t columns = r->codes->n_codebooks, frame = draw / columns, codebook = draw % columns;
    const size_t n_first = s->temperature[0] > 0, n_other = s->temperature[1] > 0;
    const size_t n_calls = frame * (n_first + (columns - 1) * n_other) +
                           (codebook > 0 ? n_first + (codebook - 1) * n_other : 0);
    const long long n = (long long)(n_calls * (s->batch > 0 ? s->batch : 1)) +
                        (draw >= s->slip_at ? s->ahead : 0) +
                        (long long)frame * s->ahead_per_frame;
    *position = (uint64_t)n * p->step + (uint64_t)s->ahead_outputs;
    return n >= 0;
}

/* Draw number `draw`; *is_drawn false if the row is none to draw from. */
static csm_status draw_again(const struct csm_replay *r, const struct csm_settings *s,
                             struct player *p, size_t draw, int32_t *token, bool *is_drawn,
                             csm_error *err)
{
    const csm_tokens *t = r->logits;
    const size_t part = draw % r->codes->n_codebooks != 0;
    uint64_t position = 0;
    csm_status status = CSM_OK;
    *is_drawn = csm_tokens_logits(t, draw / r->codes->n_codebooks, draw % r->codes->n_codebooks,
                                  p->row);
    if (p->stream != NULL) {
        if (!position_of(r, s, p, draw, &position)) { /* with noise from before the stream began */
            *is_drawn = false;
            return CSM_OK;
        }
        if (position != csm_stream_save(p->stream).position)
            status = csm_stream_seek(p->stream, position, err);
    }
    if (status != CSM_OK)
        return status;
    if (s->temperature[part] == 0)
        status = csm_draw_greedy(p->row, 1, t->vocab, token, NULL, err);
    else if ((status = set_part(s, p, part, err)) == CSM_OK)
        status = csm_sampler_draw(p->sampler, p->row, 1, t->vocab, token, NULL, p->probs, err);
    if (status == CSM_BAD_LOGITS) {
        *is_drawn = false;
        status = CSM_OK;
    }
    return status;
}

static csm_status open_player(const struct csm_replay *r, const struct csm_settings *s,
                              struct player *p, csm_error *err)
{
    memset(p, 0, sizeof *p);
    p->row = calloc(3 * r->logits->vocab, sizeof *p->row);
    if (p->row == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "replay: out of memory");
    p->probs = p->row + r->logits->vocab;
    p->noise = p->probs + r->logits->vocab;
    if (s->temperature[0] == 0 && s->temperature[1] == 0)
        return CSM_OK;
    csm_status status = make_sampler(s, &p->sampler, err);
    if (status != CSM_OK)
        return status;
    p->stream = csm_sampler_stream(p->sampler);
    return step_of(p->sampler, r->logits->vocab, p->row, &p->step, err);
}

static void close_player(struct player *p)
{
    csm_sampler_close(p->sampler);
    free(p->row);
}

/* By how much `code` loses to `winner`: of the race p / q, or of a greedy draw. */
static csm_status lose(const struct csm_settings *s, struct player *p, size_t part, size_t vocab,
                       int32_t code, int32_t winner, uint64_t position, double *behind,
                       csm_error *err)
{
    if (s->temperature[part] == 0) {
        *behind = (double)p->row[winner] - p->row[code];
        return CSM_OK;
    }
    if (p->probs[code] == 0) {
        *behind = INFINITY;
        return CSM_OK;
    }
    const csm_dtype dtype = s->sampler == CSM_SAMPLER_SESAME ? s->dtype : CSM_DTYPE_F32;
    csm_status status = csm_stream_seek(p->stream, position, err);
    if (status == CSM_OK)
        status = csm_stream_fill(p->stream, dtype, 1, vocab, p->noise, err);
    if (status == CSM_OK)
        *behind = log((double)p->probs[winner] / p->noise[winner]) -
                  log((double)p->probs[code] / p->noise[code]);
    return status;
}

/* How far two logits may be off each other because the file has them in 16 bits: half a unit in the
 * last place of either, over the temperature. 0 for those that were drawn as they stand there. */
static double reach_of_file(const struct csm_tokens *t, const struct csm_settings *s, size_t part,
                            float x, float y)
{
    const double unit = t->logits.dtype == CSM_DTYPE_BF16  ? 0x1p-8
                        : t->logits.dtype == CSM_DTYPE_F16 ? 0x1p-11
                                                           : 0;
    return s->dtype == CSM_DTYPE_F32 && s->temperature[part] > 0
               ? unit * (fabs((double)x) + fabs((double)y)) / s->temperature[part]
               : 0;
}

/* How many logits are above that of `entry`: for certain, or if the file's rounding hides it. */
static size_t n_above(const struct csm_tokens *t, const struct csm_settings *s,
                      const struct player *p, size_t part, int32_t entry, bool is_certain)
{
    size_t n = 0;
    for (size_t i = 0; i < t->vocab; i++) {
        const double lead = ((double)p->row[i] - p->row[entry]) / s->temperature[part];
        const double reach = reach_of_file(t, s, part, p->row[i], p->row[entry]);
        n += i != (size_t)entry && (is_certain ? lead > reach : lead >= -reach);
    }
    return n;
}

/* Whether a draw that does not come out tells of the settings: not where the file's own rounding
 * of its logits may have turned the race, left the code out, or let the winner in. */
static csm_status is_told(const struct csm_replay *r, const struct csm_settings *s,
                          struct player *p, size_t draw, int32_t winner, bool *out,
                          csm_error *err)
{
    const size_t part = draw % r->codes->n_codebooks != 0;
    const int32_t code = r->codes->codes[draw];
    *out = true;
    if (s->stream == CSM_STREAM_MLX || code < 0 || (size_t)code >= r->logits->vocab)
        return CSM_OK;
    const csm_tokens *t = r->logits;
    const double reach = reach_of_file(t, s, part, p->row[code], p->row[winner]);
    uint64_t position = 0;
    double behind = 0;
    if (reach == 0)
        return CSM_OK;
    size_t n_left = 0; /* by a cut: top-k, top-p */
    for (size_t i = 0; i < t->vocab; i++)
        n_left += p->probs[i] > 0;
    if (s->top_k[part] > 0 && s->top_k[part] < n_left) /* equals at its end are left, too */
        n_left = s->top_k[part];
    const bool is_out = p->probs[code] == 0;
    *out = is_out ? n_above(t, s, p, part, code, true) >= n_left
                  : n_above(t, s, p, part, winner, false) < n_left;
    if (!*out || is_out || !position_of(r, s, p, draw, &position))
        return CSM_OK;
    csm_status status = lose(s, p, part, t->vocab, code, winner, position, &behind, err);
    *out = behind > reach;
    return status;
}

csm_status csm_replay_run(const struct csm_replay *r, const struct csm_settings *s,
                          size_t max_misses, struct csm_replay_result *result, csm_error *err)
{
    struct player p;
    size_t n_misses = 0, draw = 0;
    *result = (struct csm_replay_result){.first_miss = r->n_draws};
    csm_status status = open_player(r, s, &p, err);
    for (; status == CSM_OK && draw < r->n_draws && n_misses <= max_misses; draw++) {
        if (n_misses > FIRST_MISSES + result->n / 25)
            break;
        int32_t token;
        bool is_drawn, is_miss = false;
        status = draw_again(r, s, &p, draw, &token, &is_drawn, err);
        if (status != CSM_OK || !is_drawn)
            continue;
        const bool is_hit = token == r->codes->codes[draw];
        if (!is_hit)
            status = is_told(r, s, &p, draw, token, &is_miss, err);
        result->n += is_hit || is_miss;
        result->n_hits += is_hit;
        if (is_miss && n_misses++ == 0)
            result->first_miss = draw;
    }
    result->is_complete = draw == r->n_draws && n_misses <= max_misses;
    close_player(&p);
    return status;
}

csm_status csm_replay_race(const csm_tokens *t, const struct csm_settings *s, size_t draw,
                           struct csm_race *race, csm_error *err)
{
    const struct csm_replay r = {.codes = t, .logits = t, .n_draws = draw + 1};
    const int32_t code = t->codes[draw];
    *race = (struct csm_race){.behind = INFINITY};
    if (s->stream == CSM_STREAM_MLX || code < 0 || (size_t)code >= t->vocab)
        return CSM_OK;
    struct player p;
    int32_t winner = 0;
    bool is_drawn = false;
    uint64_t position = 0;
    csm_status status = open_player(&r, s, &p, err);
    if (status == CSM_OK)
        status = draw_again(&r, s, &p, draw, &winner, &is_drawn, err);
    if (status == CSM_OK && is_drawn) {
        race->is_known = true;
        race->behind = 0;
        (void)position_of(&r, s, &p, draw, &position);
        bool is_behind = winner != code;
        if (is_behind)
            status = is_told(&r, s, &p, draw, winner, &is_behind, err);
        if (status == CSM_OK && is_behind)
            status = lose(s, &p, draw % t->n_codebooks != 0, t->vocab, code, winner, position,
                          &race->behind, err);
    }
    close_player(&p);
    return status;
}

csm_status csm_replay_hits(const struct csm_replay *r, const struct csm_settings *s,
                           struct csm_noise_hits *hits, csm_error *err)
{
    struct player p;
    bool is_missed[2] = {false, false};
    double expected = 0, variance = 0;
    *hits = (struct csm_noise_hits){.is_one_codebook = true};
    csm_status status = open_player(r, s, &p, err);
    for (size_t draw = 0; status == CSM_OK && draw < r->n_draws; draw++) {
        const size_t codebook = draw % r->codes->n_codebooks;
        const int32_t code = r->codes->codes[draw];
        int32_t token;
        bool is_drawn;
        status = draw_again(r, s, &p, draw, &token, &is_drawn, err);
        if (status != CSM_OK || !is_drawn || s->temperature[codebook != 0] == 0 || code < 0 ||
            (size_t)code >= r->logits->vocab)
            continue;
        bool is_counted = true;
        if (token != code)
            status = is_told(r, s, &p, draw, token, &is_counted, err);
        if (!is_counted)
            continue;
        expected += (double)p.probs[code];
        variance += (double)p.probs[code] * (1 - (double)p.probs[code]);
        hits->n++;
        if (token == code) {
            hits->n_hits++;
            continue;
        }
        if (!is_missed[0] && !is_missed[1])
            hits->codebook = codebook;
        hits->is_one_codebook = hits->is_one_codebook && codebook == hits->codebook;
        is_missed[codebook != 0] = true;
    }
    hits->n_parts_missed = (size_t)is_missed[0] + is_missed[1];
    hits->z = variance > 0 ? ((double)hits->n_hits - expected) / sqrt(variance) : 0;
    close_player(&p);
    return status;
}

/* ---- the search ----------------------------------------------------------------- */

struct search {
    const struct csm_replay *replay;
    struct csm_replay sample; /* the first draws of it, on which hypotheses compete */
    struct csm_explanation *best;
    size_t fewest;  /* misses of the best */
    bool has_best;
    size_t n_drawn; /* by all hypotheses so far */
};

enum {
    SAMPLE_DRAWS = 600,
    FULL_DRAWS = 4096,
    MOST_DRAWS = 1000000, /* of all hypotheses: then the search ends with what it has */
    ENOUGH_DRAWS = 6 /* fewer explain nothing */
};

/* Misses under which a hypothesis still explains n draws. */
static size_t tolerated(size_t n)
{
    return n / 50;
}

static csm_status try_settings(struct search *search, const struct csm_settings *s, csm_error *err)
{
    struct csm_replay_result result;
    size_t bound = tolerated(search->sample.n_draws);
    if (search->has_best && search->fewest <= bound)
        bound = search->fewest;
    if (search->n_drawn > MOST_DRAWS)
        return CSM_OK;
    csm_status status = csm_replay_run(&search->sample, s, bound, &result, err);
    if (status == CSM_BAD_ARG) /* no program has this combination */
        return CSM_OK;
    if (status != CSM_OK)
        return status;
    search->n_drawn += result.n;
    size_t n_misses = result.n - result.n_hits;
    if (!result.is_complete || result.n < ENOUGH_DRAWS || n_misses > bound ||
        (search->has_best && n_misses >= search->fewest))
        return CSM_OK;
    search->has_best = true;
    search->fewest = n_misses;
    search->best->settings = *s;
    search->best->result = result;
    return CSM_OK;
}

static bool is_found(const struct search *search)
{
    return search->has_best && search->fewest == 0;
}

static const double temperatures[] = {1.0, 0.9,  0.8,  0.7, 0.6,  0.5, 1.1, 1.2, 0.95, 0.85,
                                      0.75, 0.65, 1.05, 1.5, 0.3, 2.0, 0.4, 0.1, 1.3};
static const size_t top_ks[] = {50, 40, 0,  100, 20, 10, 30, 25,  32,  64,  5,
                                60, 45, 35, 80,  1,  15, 200, 250, 256, 128, 500};
enum {
    N_TEMPERATURES = sizeof temperatures / sizeof *temperatures,
    N_TOP_KS = sizeof top_ks / sizeof *top_ks,
    MOST_AHEAD = 66,  /* two frames of 32 codebooks and a bit */
    MOST_OUTPUTS = 16,
    MOST_ROWS = 8,    /* of a batch */
    N_SEEDS = 101
};

/* Of both parts, of codebook 0, of the others. */
enum { BOTH_PARTS, FIRST_PART, OTHER_PART, N_PARTS };

/* A temperature, top_p or min_p. */
static void set_number(double of[2], int part, double value)
{
    if (part != OTHER_PART)
        of[0] = value;
    if (part != FIRST_PART)
        of[1] = value;
}

static void set_top_k(struct csm_settings *s, int part, size_t top_k)
{
    if (part != OTHER_PART)
        s->top_k[0] = top_k;
    if (part != FIRST_PART)
        s->top_k[1] = top_k;
}

/* Temperature and top-k around `base`, in all pairs. */
static csm_status try_pairs(struct search *search, const struct csm_settings *base, csm_error *err)
{
    csm_status status = CSM_OK;
    for (size_t i = 0; status == CSM_OK && i < N_TEMPERATURES && !is_found(search); i++)
        for (size_t j = 0; status == CSM_OK && j < N_TOP_KS && !is_found(search); j++) {
            struct csm_settings s = *base;
            set_number(s.temperature, BOTH_PARTS, temperatures[i]);
            set_top_k(&s, BOTH_PARTS, top_ks[j]);
            status = try_settings(search, &s, err);
        }
    return status;
}

/* One of a part's settings for another; a temperature of 0 for one part is a greedy draw. */
static csm_status try_warps(struct search *search, const struct csm_settings *base, int part,
                            csm_error *err)
{
    static const double top_ps[] = {0.95, 0.9, 0.8, 0.99, 0.85, 0.7, 0.98, 0.6, 0.5, 1};
    static const double min_ps[] = {0.05, 0.1, 0.02, 0.01, 0.2, 0};
    const size_t top_k = base->top_k[part == OTHER_PART];
    csm_status status = CSM_OK;
    for (size_t i = 0; status == CSM_OK && i < N_TEMPERATURES && !is_found(search); i++) {
        struct csm_settings s = *base;
        set_number(s.temperature, part, temperatures[i]);
        status = try_settings(search, &s, err);
    }
    for (size_t i = 0; status == CSM_OK && i < N_TOP_KS + 2 && !is_found(search); i++) {
        struct csm_settings s = *base;
        /* first those that a comparison off by one makes */
        set_top_k(&s, part, i >= 2 ? top_ks[i - 2] : i == 0 ? top_k + 1 : top_k - 1);
        if (i >= 2 || top_k > 1)
            status = try_settings(search, &s, err);
    }
    for (size_t i = 0; status == CSM_OK && i < sizeof top_ps / sizeof *top_ps; i++) {
        struct csm_settings s = *base;
        set_number(s.top_p, part, top_ps[i]);
        status = is_found(search) ? CSM_OK : try_settings(search, &s, err);
    }
    for (size_t i = 0; status == CSM_OK && i < sizeof min_ps / sizeof *min_ps; i++) {
        struct csm_settings s = *base;
        set_number(s.min_p, part, min_ps[i]);
        status = is_found(search) ? CSM_OK : try_settings(search, &s, err);
    }
    if (status == CSM_OK && part != BOTH_PARTS && !is_found(search)) {
        struct csm_settings s = *base;
        set_number(s.temperature, part, 0);
        status = try_settings(search, &s, err);
    }
    return status;
}

static csm_status try_arithmetic(struct search *search, const struct csm_settings *base,
                                 csm_error *err)
{
    static const csm_dtype dtypes[] = {CSM_DTYPE_F32, CSM_DTYPE_BF16, CSM_DTYPE_F16};
    csm_status status = CSM_OK;
    for (csm_sampler_kind kind = 0; kind < CSM_SAMPLER_COUNT && !is_found(search); kind++)
        for (size_t i = 0; status == CSM_OK && i < 3 && !is_found(search); i++) {
            struct csm_settings s = *base;
            s.sampler = kind;
            s.dtype = dtypes[i];
            status = try_settings(search, &s, err);
        }
    return status;
}

static csm_status try_streams(struct search *search, const struct csm_settings *base,
                              csm_error *err)
{
    csm_status status = CSM_OK;
    for (csm_stream_kind kind = 0; status == CSM_OK && kind < CSM_STREAM_COUNT; kind++) {
        struct csm_settings s = *base;
        s.stream = kind;
        bool is_mlx = kind == CSM_STREAM_MLX;
        bool was_mlx = base->stream == CSM_STREAM_MLX;
        if (is_mlx != was_mlx)
            s.sampler = is_mlx ? CSM_SAMPLER_CSM_MLX : CSM_SAMPLER_TRANSFORMERS;
        status = try_settings(search, &s, err);
    }
    /* MLX draws one row by its inverse CDF since 0.32.1, by Gumbel before */
    static const char *const versions[] = {"0.32.0", "0.32.4"};
    for (size_t i = 0; status == CSM_OK && i < 2 && base->stream == CSM_STREAM_MLX; i++) {
        struct csm_settings s = *base;
        snprintf(s.mlx_version, sizeof s.mlx_version, "%s", versions[i]);
        status = try_settings(search, &s, err);
    }
    return status;
}

static csm_status try_offsets(struct search *search, const struct csm_settings *base,
                              csm_error *err)
{
    csm_status status = CSM_OK;
    for (long ahead = 1; status == CSM_OK && ahead <= MOST_AHEAD && !is_found(search); ahead++)
        for (int sign = 1; status == CSM_OK && sign >= -1; sign -= 2) {
            struct csm_settings s = *base;
            s.ahead = sign * ahead;
            status = try_settings(search, &s, err);
        }
    for (long n = 1; status == CSM_OK && n <= MOST_OUTPUTS && is_sequence(base->stream); n++) {
        struct csm_settings s = *base;
        s.ahead_outputs = n;
        status = is_found(search) ? CSM_OK : try_settings(search, &s, err);
    }
    return status;
}

/* Noise in another shape: a frame that takes more draws than it has codes, before them or after
 * them, or one fewer; a stream that begins anew with each frame; one row of a batch. */
static csm_status try_shapes(struct search *search, const struct csm_settings *base, csm_error *err)
{
    const long columns = (long)search->replay->codes->n_codebooks;
    const struct {
        long per_frame, ahead;
    } frames[] = {{1, 0}, {1, 1}, {2, 0}, {2, 2}, {2, 1}, {-1, 0}, {-columns, 0}};
    csm_status status = CSM_OK;
    for (size_t i = 0; status == CSM_OK && i < sizeof frames / sizeof *frames; i++) {
        struct csm_settings s = *base;
        s.ahead_per_frame = frames[i].per_frame;
        s.ahead = frames[i].ahead;
        status = is_found(search) ? CSM_OK : try_settings(search, &s, err);
    }
    for (size_t rows = 2; status == CSM_OK && rows <= MOST_ROWS && is_sequence(base->stream); rows++)
        for (size_t row = 0; status == CSM_OK && row < rows && !is_found(search); row++) {
            struct csm_settings s = *base;
            s.batch = rows;
            s.ahead = (long)row;
            status = try_settings(search, &s, err);
        }
    return status;
}

/* A stream in step up to a draw and out of step after it. */
static csm_status try_slip(struct search *search, const struct csm_settings *base,
                           const struct csm_replay_result *claimed, csm_error *err)
{
    csm_status status = CSM_OK;
    /* A wrong draw may come out by chance, so the slip may be some draws before
     * the first miss. */
    size_t last = claimed->first_miss, first = last > 8 ? last - 8 : 1;
    if (last >= search->sample.n_draws || last == 0)
        return CSM_OK;
    for (long ahead = 1; status == CSM_OK && ahead <= 33 && !is_found(search); ahead++)
        for (size_t at = last; status == CSM_OK && at >= first && !is_found(search); at--) {
            struct csm_settings s = *base;
            s.ahead = ahead;
            s.slip_at = at;
            status = try_settings(search, &s, err);
        }
    return status;
}

static csm_status try_seeds(struct search *search, const struct csm_settings *base, csm_error *err)
{
    static const uint64_t popular[] = {1234, 1337, 137, 2023, 2024, 2025, 3407, 12345, 31337};
    enum { N_POPULAR = sizeof popular / sizeof *popular };
    csm_status status = CSM_OK;
    for (size_t i = 0; status == CSM_OK && i < N_SEEDS + N_POPULAR && !is_found(search); i++) {
        struct csm_settings s = *base;
        s.seed = i < N_SEEDS ? i : popular[i - N_SEEDS];
        status = try_settings(search, &s, err);
    }
    return status;
}

/* In the order of trust; each step only if nothing before explains every draw. */
static csm_status search_all(struct search *search, const struct csm_settings *base,
                             const struct csm_replay_result *claimed, csm_error *err)
{
    csm_status status = CSM_OK;
    const int n_parts = search->replay->codes->n_codebooks > 1 ? N_PARTS : 1;
    for (int part = 0; status == CSM_OK && part < n_parts && !is_found(search); part++)
        status = try_warps(search, base, part, err);
    if (status == CSM_OK && !is_found(search))
        status = try_arithmetic(search, base, err);
    if (status == CSM_OK && !is_found(search))
        status = try_streams(search, base, err);
    if (status == CSM_OK && !is_found(search))
        status = try_offsets(search, base, err);
    if (status == CSM_OK && !is_found(search))
        status = try_shapes(search, base, err);
    if (status == CSM_OK && !is_found(search))
        status = try_slip(search, base, claimed, err);
    if (status == CSM_OK && !is_found(search))
        status = try_seeds(search, base, err);
    if (status == CSM_OK && !search->has_best)
        status = try_pairs(search, base, err);
    return status;
}

static bool is_greedy(const struct csm_replay *r, csm_error *err)
{
    struct csm_settings greedy = {.stream = CSM_STREAM_TORCH_CPU};
    struct csm_replay_result result;
    return csm_replay_run(r, &greedy, 0, &result, err) == CSM_OK && result.n >= ENOUGH_DRAWS &&
           result.n_hits == result.n;
}

csm_status csm_replay_explain(const struct csm_replay *replay, const struct csm_settings *claimed,
                              bool has_claim, bool may_search, const struct csm_settings *other,
                              struct csm_explanation *out, csm_error *err)
{
    memset(out, 0, sizeof *out);
    struct search search = {.replay = replay, .sample = *replay, .best = out};
    if (search.sample.n_draws > SAMPLE_DRAWS)
        search.sample.n_draws = SAMPLE_DRAWS;
    struct csm_replay full = *replay;
    if (full.n_draws > FULL_DRAWS)
        full.n_draws = FULL_DRAWS;

    /* The claim is held against every draw: one in two hundred may tell of the
     * sampler's arithmetic. */
    csm_status status =
        csm_replay_run(&full, claimed, tolerated(full.n_draws) + 8, &out->claimed, err);
    if (status == CSM_BAD_ARG)
        out->claimed = (struct csm_replay_result){0};
    else if (status != CSM_OK)
        return status;
    if (has_claim && out->claimed.n >= ENOUGH_DRAWS && out->claimed.n_hits == out->claimed.n) {
        out->is_explained = true;
        out->settings = *claimed;
        out->result = out->claimed;
        return CSM_OK;
    }
    if (may_search && is_greedy(&full, err)) {
        out->is_explained = out->is_greedy = true;
        out->settings = *claimed;
        out->settings.temperature[0] = out->settings.temperature[1] = 0;
        out->result.n = out->result.n_hits = full.n_draws;
        out->result.first_miss = full.n_draws;
        return CSM_OK;
    }

    /* When the first miss comes late, the sample must reach beyond it. */
    if (out->claimed.first_miss + 64 > search.sample.n_draws && out->claimed.n != 0) {
        size_t wanted = out->claimed.first_miss + 64;
        search.sample.n_draws = wanted < full.n_draws ? wanted : full.n_draws;
    }
    struct csm_replay_result on_sample = out->claimed;
    status = try_settings(&search, claimed, err);
    if (status == CSM_OK && other != NULL && !is_found(&search))
        status = try_settings(&search, other, err);
    if (status == CSM_OK && may_search && !is_found(&search))
        status = search_all(&search, claimed, &on_sample, err);
    if (status != CSM_OK)
        return status;
    out->is_explained = search.has_best;
    return CSM_OK;
}
