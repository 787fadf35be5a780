/* SPDX-License-Identifier: Apache-2.0
 *
 * sampler.c - making samplers, and the course of a draw. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "base/sized.h"
#include "sampling/noise.h"
#include "base/numbers.h"
#include "sampling/sampler.h"

static const char *const names[CSM_SAMPLER_COUNT] = {
#define NAME(id, name) name,
    CSM_SAMPLER_MAP(NAME)
#undef NAME
};

const char *csm_sampler_name(csm_sampler_kind kind)
{
    return (unsigned)kind < CSM_SAMPLER_COUNT ? names[kind] : "?";
}

csm_sampler_kind csm_sampler_find(const char *name)
{
    unsigned kind = 0;
    while (kind < CSM_SAMPLER_COUNT && strcmp(names[kind], name) != 0)
        kind++;
    return (csm_sampler_kind)kind;
}

void csm_sampler_options_init(csm_sampler_options *options)
{
    const csm_sampler_options defaults = {
        .sampler = CSM_SAMPLER_TRANSFORMERS,
        .stream = CSM_STREAM_TORCH_CPU,
        .dtype = CSM_DTYPE_F32,
        .temperature = 0.9,
        .top_k = 50,
        .repetition_penalty = 1.0,
    };
    csm_sized_write(options, &defaults, sizeof defaults);
}

static bool is_mlx(csm_sampler_kind kind)
{
    return kind == CSM_SAMPLER_CSM_MLX || kind == CSM_SAMPLER_MLX_CATEGORICAL;
}

static csm_status check_temperature(const csm_sampler_options *config, double temperature,
                                    csm_error *err)
{
    /* As float32 it divides or multiplies: it may not become 0 or infinite. */
    if (!((float)temperature > 0.0f && (float)temperature < INFINITY) ||
        !((float)(1.0 / temperature) < INFINITY))
        return csm_fail(err, CSM_BAD_ARG, "temperature: %g, expected a finite number above 0",
                        temperature);
    const float factor = csm_round_to(config->dtype, (float)(1.0 / temperature));
    if (is_mlx(config->sampler) && !(factor > 0.0f && factor < INFINITY))
        return csm_fail(err, CSM_BAD_ARG,
                        "temperature: %g with sampler %s in %s, which multiplies by 1 / temperature: "
                        "expected one for which that is neither 0 nor infinite there",
                        temperature, csm_sampler_name(config->sampler),
                        csm_dtype_name(config->dtype));
    return CSM_OK;
}

/* "X.Y.Z" as X << 16 | Y << 8 | Z. */
static csm_status read_version(const char *text, const char *program, uint32_t *version,
                               csm_error *err)
{
    unsigned part[3];
    int length = 0;
    if (sscanf(text, "%3u.%3u.%3u%n", &part[0], &part[1], &part[2], &length) != 3 ||
        text[length] != '\0' || part[0] > 255 || part[1] > 255 || part[2] > 255)
        return csm_fail(err, CSM_BAD_ARG, "%s version: '%s', expected X.Y.Z", program, text);
    *version = part[0] << 16 | part[1] << 8 | part[2];
    return CSM_OK;
}

static csm_status check_top_p(csm_sampler_kind sampler, double top_p, csm_error *err)
{
    if (!(top_p >= 0.0 && top_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "top-p: %g, expected 0 (none) to 1", top_p);
    if (sampler == CSM_SAMPLER_SESAME && top_p > 0.0 && top_p < 1.0)
        return csm_fail(err, CSM_BAD_ARG, "top-p with sampler sesame, which has none: expected sampler "
                                          "transformers or csm-mlx");
    return CSM_OK;
}

static csm_status check_min_p(csm_sampler_kind sampler, double min_p, csm_error *err)
{
    if (!(min_p >= 0.0 && min_p <= 1.0))
        return csm_fail(err, CSM_BAD_ARG, "min-p: %g, expected 0 (none) to 1", min_p);
    if (sampler == CSM_SAMPLER_SESAME && min_p > 0.0)
        return csm_fail(err, CSM_BAD_ARG, "min-p with sampler sesame, which has none: expected sampler "
                                          "transformers or csm-mlx");
    return CSM_OK;
}

static csm_status check_cutoffs(const csm_sampler_options *c, const csm_cutoffs *cutoffs,
                                csm_error *err)
{
    const struct {
        const char *name;
        double value;
    } each[] = {{"top-h", cutoffs->top_h},
                {"typical-p", cutoffs->typical_p},
                {"epsilon cutoff", cutoffs->epsilon},
                {"eta cutoff", cutoffs->eta}};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        if (!(each[i].value >= 0.0 && each[i].value <= 1.0))
            return csm_fail(err, CSM_BAD_ARG, "%s: %g, expected 0 (none) to 1", each[i].name,
                            each[i].value);
        if (each[i].value > 0.0 && c->sampler != CSM_SAMPLER_TRANSFORMERS)
            return csm_fail(err, CSM_BAD_ARG, "%s with sampler %s, which has none: expected "
                                              "sampler transformers",
                            each[i].name, csm_sampler_name(c->sampler));
        if (each[i].value > 0.0 && c->stream != CSM_STREAM_TORCH_CPU &&
            c->stream != CSM_STREAM_TORCH_CPU_MKL)
            return csm_fail(err, CSM_BAD_ARG, "%s on stream %s, expected torch-cpu or "
                                              "torch-cpu-mkl",
                            each[i].name, csm_stream_name(c->stream));
    }
    return CSM_OK;
}

static csm_status check(const csm_sampler_options *c, csm_error *err)
{
    if ((unsigned)c->sampler >= CSM_SAMPLER_COUNT)
        return csm_fail(err, CSM_BAD_ARG, "sampler: %d, expected one of csm_sampler_kind",
                        (int)c->sampler);
    const csm_stream_state stream = {.kind = c->stream, .cuda_threads = c->cuda_threads};
    csm_status st = csm_stream_check(&stream, err);
    if (st != CSM_OK)
        return st;
    if (is_mlx(c->sampler) != (c->stream == CSM_STREAM_MLX))
        return csm_fail(err, CSM_BAD_ARG, "sampler %s on stream %s, expected %s",
                        csm_sampler_name(c->sampler), csm_stream_name(c->stream),
                        is_mlx(c->sampler)
                            ? "stream mlx"
                            : "torch-cpu, torch-cpu-mkl, torch-cuda or torch-inductor");
    if (c->sampler == CSM_SAMPLER_SESAME && c->stream == CSM_STREAM_TORCH_INDUCTOR &&
        c->dtype != CSM_DTYPE_F32)
        return csm_fail(err, CSM_BAD_ARG,
                        "sampler sesame on stream torch-inductor in %s, expected F32: where a "
                        "compiled sampler rounds depends on what was fused",
                        csm_dtype_name(c->dtype));
    if (c->dtype != CSM_DTYPE_F32 && c->dtype != CSM_DTYPE_BF16 && c->dtype != CSM_DTYPE_F16)
        return csm_fail(err, CSM_BAD_ARG, "dtype: %s, expected F32, BF16 or F16",
                        csm_dtype_name(c->dtype));
    st = check_top_p(c->sampler, c->top_p, err);
    if (st == CSM_OK)
        st = check_min_p(c->sampler, c->min_p, err);
    if (st == CSM_OK)
        st = check_cutoffs(c, &c->cutoffs, err);
    if (st != CSM_OK)
        return st;
    if (!((float)c->repetition_penalty > 0.0f && (float)c->repetition_penalty < INFINITY))
        return csm_fail(err, CSM_BAD_ARG, "repetition penalty: %g, expected a finite number above 0",
                        c->repetition_penalty);
    if (c->sampler != CSM_SAMPLER_TRANSFORMERS && c->repetition_penalty != 1.0)
        return csm_fail(err, CSM_BAD_ARG, "repetition penalty with sampler %s, expected transformers",
                        csm_sampler_name(c->sampler));
    if ((c->mlx_version != NULL || c->mlx_lm_version != NULL) && !is_mlx(c->sampler))
        return csm_fail(err, CSM_BAD_ARG,
                        "MLX version with sampler %s, expected csm-mlx or mlx-categorical",
                        csm_sampler_name(c->sampler));
    return check_temperature(c, c->temperature, err);
}

static csm_status open_sampler(const csm_sampler_options *options, csm_sampler **out, csm_error *err)
{
    csm_sampler_options read = csm_sampler_defaults();
    const csm_sampler_options *const config = &read;
    csm_status st = csm_sized_read(options, &read, sizeof read, "sampler options", err);
    if (st == CSM_OK)
        st = check(config, err);
    if (st != CSM_OK)
        return st;
    uint32_t mlx = UINT32_MAX, mlx_lm = MLX_LM_0_31_3;
    if (config->mlx_version != NULL)
        st = read_version(config->mlx_version, "MLX", &mlx, err);
    if (st == CSM_OK && config->mlx_lm_version != NULL)
        st = read_version(config->mlx_lm_version, "mlx-lm", &mlx_lm, err);
    if (st == CSM_OK && mlx_lm < MLX_LM_0_25_1)
        st = csm_fail(err, CSM_BAD_ARG, "mlx-lm version: %s, expected 0.25.1 or later",
                      config->mlx_lm_version);
    if (st != CSM_OK)
        return st;
    csm_sampler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sampler: %zu bytes", sizeof *s);
    s->config = *config;
    s->config.mlx_version = s->config.mlx_lm_version = NULL; /* the caller's; numbers are kept */
    s->mlx_version = mlx;
    s->mlx_lm_version = mlx_lm;
    csm_stream_state state = {
        .kind = config->stream,
        .seed = config->seed,
        .cuda_threads = config->cuda_threads,
    };
    st = csm_stream_open(&state, &s->stream, err);
    if (st != CSM_OK) {
        csm_sampler_close(s);
        return st;
    }
    *out = s;
    return CSM_OK;
}

csm_status csm_sampler_open(const csm_sampler_options *options, csm_sampler **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_sampler(options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_sampler_close(csm_sampler *sampler)
{
    if (sampler == NULL)
        return;
    csm_stream_close(sampler->stream);
    free(sampler->scores);
    free(sampler->index);
    free(sampler->left);
    free(sampler->scratch);
    free(sampler->order);
    free(sampler->positions);
    free(sampler->keys);
    free(sampler);
}

csm_stream *csm_sampler_stream(csm_sampler *sampler)
{
    return sampler->stream;
}

csm_status csm_sampler_set_temperature(csm_sampler *sampler, double temperature, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = check_temperature(&sampler->config, temperature, err);
    csm_arithmetic_end(&host);
    if (st == CSM_OK)
        sampler->config.temperature = temperature;
    return st;
}

void csm_sampler_set_top_k(csm_sampler *sampler, size_t top_k)
{
    sampler->config.top_k = top_k;
}

csm_status csm_sampler_set_top_p(csm_sampler *sampler, double top_p, csm_error *err)
{
    csm_status st = check_top_p(sampler->config.sampler, top_p, err);
    if (st == CSM_OK)
        sampler->config.top_p = top_p;
    return st;
}

csm_status csm_sampler_set_min_p(csm_sampler *sampler, double min_p, csm_error *err)
{
    csm_status st = check_min_p(sampler->config.sampler, min_p, err);
    if (st == CSM_OK)
        sampler->config.min_p = min_p;
    return st;
}

csm_status csm_sampler_set_cutoffs(csm_sampler *sampler, const csm_cutoffs *cutoffs,
                                   csm_error *err)
{
    csm_status st = check_cutoffs(&sampler->config, cutoffs, err);
    if (st == CSM_OK)
        sampler->config.cutoffs = *cutoffs;
    return st;
}

void csm_sampler_set_history(csm_sampler *sampler, const int32_t *ids, size_t n_ids)
{
    sampler->history = ids;
    sampler->n_history = n_ids;
}

/* The array whose pointer lies at `array`. */
static bool grow(void *array, size_t n_bytes)
{
    void *old;
    memcpy(&old, array, sizeof old);
    void *bigger = realloc(old, n_bytes);
    if (bigger != NULL)
        memcpy(array, &bigger, sizeof bigger);
    return bigger != NULL;
}

static csm_status reserve(csm_sampler *s, size_t rows, size_t vocab, csm_error *err)
{
    if (rows == 0 || vocab == 0 || vocab > INT32_MAX || rows > SIZE_MAX / 8 / vocab)
        return csm_fail(err, CSM_BAD_ARG, "logits: shape [%zu, %zu], expected at least one entry",
                        rows, vocab);
    if (vocab <= s->capacity)
        return CSM_OK;
    if (!grow(&s->scores, 4 * vocab) || !grow(&s->index, 4 * vocab) ||
        !grow(&s->left, 4 * vocab) || !grow(&s->scratch, 4 * vocab) ||
        !grow(&s->order, 4 * vocab) || !grow(&s->positions, 4 * vocab) ||
        !grow(&s->keys, 8 * vocab))
        return csm_fail(err, CSM_NO_MEMORY, "sampler: %zu entries", vocab);
    s->capacity = vocab;
    return CSM_OK;
}

/* Check every row, then open the call: after that nothing fails. A single row's
 * scores stay in place. */
static csm_status prepare(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                          csm_error *err)
{
    csm_status st = reserve(s, rows, vocab, err);
    size_t n_noise = rows * vocab;
    if (st == CSM_OK && is_mlx(s->config.sampler)) {
        st = csm_mlx_prepare(s, logits, rows, vocab, err);
        n_noise = csm_mlx_n_noise(s, rows, vocab);
    } else {
        for (size_t row = 0; row < rows && st == CSM_OK; row++)
            st = csm_torch_scores(s, logits, row, vocab, err);
    }
    return st == CSM_OK ? csm_noise_open(s->stream, n_noise, err) : st;
}

/* The scores of a row of prepared logits, weighed. */
static void weigh(csm_sampler *s, const float *logits, size_t row, size_t rows, size_t vocab)
{
    if (is_mlx(s->config.sampler)) {
        csm_mlx_scores(s, logits, row, vocab);
        csm_mlx_weigh(s, vocab);
        return;
    }
    if (rows > 1)
        (void)csm_torch_scores(s, logits, row, vocab, NULL);
    csm_torch_weigh(s, row, vocab);
}

static void spread_probabilities(csm_sampler *s, size_t vocab, float *probs)
{
    if (is_mlx(s->config.sampler))
        csm_mlx_probabilities(s);
    for (size_t i = 0; i < vocab; i++)
        probs[i] = s->n_left > 0 ? 0.0f : NAN;
    for (size_t i = 0; i < s->n_left; i++)
        probs[s->index[i]] = s->left[i];
}

static csm_status draw(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                       int32_t *tokens, float *margins, float *probs, csm_error *err)
{
    csm_status st = prepare(s, logits, rows, vocab, err);
    if (st != CSM_OK)
        return st;
    for (size_t row = 0; row < rows; row++) {
        weigh(s, logits, row, rows, vocab);
        struct drawn drawn = is_mlx(s->config.sampler) ? csm_mlx_draw(s, row * vocab, vocab)
                                                       : csm_torch_draw(s, row * vocab, vocab);
        tokens[row] = drawn.token;
        if (margins != NULL)
            margins[row] = drawn.margin;
        if (probs != NULL)
            spread_probabilities(s, vocab, probs + row * vocab);
    }
    return CSM_OK;
}

csm_status csm_sampler_draw(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                            int32_t *tokens, float *margins, float *probs, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = draw(s, logits, rows, vocab, tokens, margins, probs, err);
    csm_arithmetic_end(&host);
    return st;
}

static csm_status draw_several(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                               size_t n_samples, int32_t *tokens, csm_error *err)
{
    if (s->config.sampler != CSM_SAMPLER_TRANSFORMERS)
        return csm_fail(err, CSM_BAD_ARG, "several samples with sampler %s, expected transformers",
                        csm_sampler_name(s->config.sampler));
    if (s->config.stream == CSM_STREAM_TORCH_INDUCTOR)
        return csm_fail(err, CSM_BAD_ARG,
                        "several samples on stream torch-inductor, expected torch-cpu: "
                        "torch.multinomial is not compiled");
    csm_status st = reserve(s, rows, vocab, err);
    for (size_t row = 0; row < rows && st == CSM_OK; row++) {
        st = csm_torch_scores(s, logits, row, vocab, err);
        if (st != CSM_OK)
            break;
        csm_torch_weigh(s, row, vocab);
        if (n_samples == 0 || n_samples > s->n_left)
            st = csm_fail(err, CSM_BAD_ARG, "samples: %zu, row %zu has %zu tokens to choose from",
                          n_samples, row, s->n_left);
    }
    if (st == CSM_OK)
        st = csm_noise_open(s->stream, rows * vocab, err);
    if (st != CSM_OK)
        return st;
    for (size_t row = 0; row < rows; row++) {
        (void)csm_torch_scores(s, logits, row, vocab, NULL);
        csm_torch_weigh(s, row, vocab);
        csm_torch_draw_several(s, row * vocab, vocab, n_samples, tokens + row * n_samples);
    }
    return CSM_OK;
}

csm_status csm_sampler_draw_several(csm_sampler *s, const float *logits, size_t rows, size_t vocab,
                                    size_t n_samples, int32_t *tokens, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = draw_several(s, logits, rows, vocab, n_samples, tokens, err);
    csm_arithmetic_end(&host);
    return st;
}

static csm_status draw_greedy(const float *logits, size_t rows, size_t vocab, int32_t *tokens,
                              float *margins, csm_error *err)
{
    if (rows == 0 || vocab == 0 || vocab > INT32_MAX)
        return csm_fail(err, CSM_BAD_ARG, "logits: shape [%zu, %zu], expected at least one entry",
                        rows, vocab);
    for (size_t row = 0; row < rows; row++) {
        csm_status st = csm_check_logits(logits, row, vocab, err);
        if (st != CSM_OK)
            return st;
    }
    for (size_t row = 0; row < rows; row++) {
        const float *x = logits + row * vocab;
        float best = x[0], second = -INFINITY;
        tokens[row] = 0;
        for (size_t i = 1; i < vocab; i++)
            if (x[i] > best) {
                second = best;
                best = x[i];
                tokens[row] = (int32_t)i;
            } else if (x[i] > second) {
                second = x[i];
            }
        if (margins != NULL)
            margins[row] = best - second;
    }
    return CSM_OK;
}

csm_status csm_draw_greedy(const float *logits, size_t rows, size_t vocab, int32_t *tokens,
                           float *margins, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = draw_greedy(logits, rows, vocab, tokens, margins, err);
    csm_arithmetic_end(&host);
    return st;
}

bool csm_draw_is_certain(float margin, float logit_error)
{
    return margin > 2.0f * logit_error;
}
