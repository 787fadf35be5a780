/* SPDX-License-Identifier: Apache-2.0
 *
 * A host that rounds otherwise, or flushes denormals to zero, gets the bytes that every other
 * host gets, and keeps its mode: threads of the library begin with the mode of the thread that
 * opened the model, and what the caller's thread computes is computed in the caller's. */
#include "unit/cmocka_all.h"

#include <fenv.h>
#include <float.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/analysis.h>
#include <csm/audio.h>
#include <csm/csm.h>
#include <csm/mark.h>
#include <csm/sampling.h>

#include "unit/request.h"

enum { VOCAB = 2051, N_DRAWS = 20, N_SAMPLES = 9600, FRAMES = 3, MOST_BYTES = 1 << 20 };

/* All that was computed in one mode, one after the other. */
struct made {
    unsigned char bytes[MOST_BYTES];
    size_t n;
};

static void add(struct made *made, const void *data, size_t n)
{
    assert_true(made->n + n <= MOST_BYTES);
    memcpy(made->bytes + made->n, data, n);
    made->n += n;
}

static csm_error err;

static void ok(csm_status status)
{
    if (status != CSM_OK)
        fail_msg("%s", err.text);
}

static void add_noise(struct made *made, csm_stream_kind kind)
{
    const csm_stream_state state = {.kind = kind, .seed = 7};
    csm_stream *stream;
    float noise[VOCAB];
    ok(csm_stream_open(&state, &stream, &err));
    ok(csm_stream_fill(stream, CSM_DTYPE_F32, 1, VOCAB, noise, &err));
    csm_stream_close(stream);
    add(made, noise, sizeof noise);
}

static void add_draws(struct made *made, csm_sampler_kind kind, csm_stream_kind stream,
                      csm_dtype dtype, const float *logits)
{
    csm_sampler_options options = csm_sampler_defaults();
    options.sampler = kind;
    options.stream = stream;
    options.dtype = dtype;
    options.top_k = 0;
    csm_sampler *sampler;
    ok(csm_sampler_open(&options, &sampler, &err));
    for (int i = 0; i < N_DRAWS; i++) {
        int32_t token;
        float margin, probs[VOCAB];
        ok(csm_sampler_draw(sampler, logits, 1, VOCAB, &token, &margin, probs, &err));
        add(made, &token, sizeof token);
        add(made, &margin, sizeof margin);
        if (i == 0)
            add(made, probs, sizeof probs);
    }
    csm_sampler_close(sampler);
}

/* One that is a denormal as float32. */
static void add_cold_draw(struct made *made)
{
    const float logits[] = {1e-39f, -1e-39f};
    csm_sampler_options options = csm_sampler_defaults();
    options.temperature = 1e-38;
    csm_sampler *sampler;
    int32_t token;
    ok(csm_sampler_open(&options, &sampler, &err));
    ok(csm_sampler_set_temperature(sampler, 1e-38, &err));
    ok(csm_sampler_draw(sampler, logits, 1, 2, &token, NULL, NULL, &err));
    add(made, &token, sizeof token);
    csm_sampler_close(sampler);
}

/* Probabilities down to 1e-44: of the denormals that some hosts flush to zero. */
static void add_sampling(struct made *made)
{
    add_cold_draw(made);
    static float logits[VOCAB];
    for (size_t i = 0; i < VOCAB; i++)
        logits[i] = -(float)(i * 2654435761u % 100000) * 0x1p-10f; /* exact in each mode */
    for (int kind = 0; kind < CSM_STREAM_COUNT; kind++)
        add_noise(made, (csm_stream_kind)kind);
    add_draws(made, CSM_SAMPLER_TRANSFORMERS, CSM_STREAM_TORCH_CPU, CSM_DTYPE_F32, logits);
    add_draws(made, CSM_SAMPLER_TRANSFORMERS, CSM_STREAM_TORCH_CUDA, CSM_DTYPE_F32, logits);
    add_draws(made, CSM_SAMPLER_SESAME, CSM_STREAM_TORCH_CPU, CSM_DTYPE_BF16, logits);
    add_draws(made, CSM_SAMPLER_MLX_CATEGORICAL, CSM_STREAM_MLX, CSM_DTYPE_F32, logits);
    int32_t token;
    float margin;
    ok(csm_draw_greedy(logits, 1, VOCAB, &token, &margin, &err));
    add(made, &margin, sizeof margin);
}

/* An opened model (weights in codes are made as it opens), its codec, a recording as context. */
static void add_speech(struct made *made, const float *samples)
{
    csm_model_options how = csm_model_defaults();
    how.precision = CSM_PRECISION_Q8;
    how.n_threads = 2;
    csm_model *model;
    ok(csm_model_open(CSM_SOURCE_DIR "/tests/golden/csm-a", &how, &model, &err));
    const csm_turn turn = {.text = "Hi.", .samples = samples, .n_samples = N_SAMPLES};
    csm_generate_options options = csm_generate_defaults();
    options.seed = 42;
    options.max_frames = options.min_frames = FRAMES;
    options.keep_logits = true;
    csm_result *result;
    ok(csm_generate(model, &REQUEST(&turn, 1, "Hello there.", 0), &options, &result, &err));
    const csm_model_info *info = csm_model_describe(model);
    const size_t n_codes = result->n_frames * info->n_codebooks;
    add(made, result->codes, n_codes * sizeof *result->codes);
    add(made, result->margins, n_codes * sizeof *result->margins);
    add(made, result->logits, n_codes * info->vocab * sizeof *result->logits);
    add(made, result->samples, result->n_samples * sizeof *result->samples);
    csm_result_close(result);
    csm_model_close(model);
}

/* A configuration among files in memory, whose numbers are rounded as they are read. */
static void add_described(struct made *made)
{
    static const char directory[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
    static const char *const names[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "model.safetensors"};
    csm_memory_file files[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        const size_t n = (size_t)ftell(file);
        void *bytes = malloc(n);
        rewind(file);
        assert_int_equal(fread(bytes, 1, n, file), n);
        fclose(file);
        files[i].name = names[i];
        files[i].bytes = bytes;
        files[i].n_bytes = n;
    }
    csm_model_options how = csm_model_defaults();
    how.describe_only = true;
    csm_model *model;
    ok(csm_model_open_memory("csm-a", files, 4, &how, &model, &err));
    const csm_model_info *info = csm_model_describe(model);
    add(made, &info->temperature, sizeof info->temperature);
    add(made, &info->frame_ms, sizeof info->frame_ms);
    csm_model_close(model);
    for (size_t i = 0; i < 4; i++)
        free((void *)(uintptr_t)files[i].bytes);
}

/* A report's decimals. */
static void add_report(struct made *made)
{
    int32_t codes[2][300];
    csm_tokens *tokens[2];
    for (size_t i = 0; i < 300; i++) {
        codes[0][i] = (int32_t)(i * 7 % 31);
        codes[1][i] = (int32_t)(i * 11 % 37);
    }
    for (size_t i = 0; i < 2; i++)
        ok(csm_tokens_make("codes", codes[i], 100, 3, &tokens[i], &err));
    csm_analysis *analysis;
    char *text;
    ok(csm_analyze_distributions(tokens[0], tokens[1], NULL, &analysis, &err));
    ok(csm_analysis_json(analysis, &text, &err));
    add(made, text, strlen(text));
    csm_free(text);
    csm_analysis_close(analysis);
    for (size_t i = 0; i < 2; i++)
        csm_tokens_close(tokens[i]);
}

static csm_status append(void *user, const void *data, size_t n, csm_error *error)
{
    (void)error;
    add(user, data, n);
    return CSM_OK;
}

static void add_sound(struct made *made, const float *samples)
{
    for (int how = CSM_RESAMPLER_SOXR; how <= CSM_RESAMPLER_TORCHAUDIO; how++) {
        float *other;
        size_t n;
        ok(csm_audio_resample((csm_resampler)how, samples, N_SAMPLES, 24000, 16000, &other, &n, &err));
        add(made, other, n * sizeof *other);
        csm_free(other);
    }
    static float marked[N_SAMPLES];
    csm_mark *mark;
    ok(csm_mark_open(NULL, &mark, &err));
    csm_mark_push(mark, samples, N_SAMPLES, marked);
    csm_mark_close(mark);
    add(made, marked, sizeof marked);

    csm_mark_options options = csm_mark_defaults();
    options.fixed_speed = true;
    csm_detector *detector;
    const csm_mark_found *found;
    size_t n_found;
    double p_value;
    ok(csm_detector_open(&options, &detector, &err));
    ok(csm_detector_push(detector, marked, N_SAMPLES, &err));
    ok(csm_detector_result(detector, &found, &n_found, &p_value, &err));
    csm_detector_close(detector);
    add(made, &p_value, sizeof p_value);

    const csm_encoder_target target = {.write = append, .user = made};
    csm_encoder *encoder;
    ok(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, 24000, NULL, &target, &encoder, &err));
    ok(csm_encoder_push(encoder, marked, N_SAMPLES, &err));
    ok(csm_encoder_finish(encoder, &err));
    csm_encoder_close(encoder);
}

static void make_all(struct made *made)
{
    made->n = 0;
    static float samples[N_SAMPLES];
    uint32_t state = 1;
    for (size_t i = 0; i < N_SAMPLES; i++) { /* exact in each mode */
        state = state * 1664525u + 1013904223u;
        samples[i] = ((float)(state >> 8) - 8388608.0f) * 0x1p-25f;
    }
    add_sampling(made);
    add_speech(made, samples);
    add_described(made);
    add_report(made);
    add_sound(made, samples);
    csm_fail(&err, CSM_OK, "%.3f %.1f", 0.1234567, 0.25);
    add(made, err.text, strlen(err.text));
}

/* ---- modes -------------------------------------------------------------------- */

static void flush_denormals(void)
{
#if defined(__x86_64__)
    unsigned mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | 0x8040); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (uint64_t)1 << 24));
#endif
}

static bool are_denormals_flushed(void)
{
    volatile float least = FLT_MIN, half = 0.5f;
    return least * half == 0.0f;
}

static void begin_mode(int mode)
{
    const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    if (mode < 4)
        assert_int_equal(fesetround(rounding[mode]), 0);
    else
        flush_denormals();
}

static void draws_sound_and_marks_are_those_of_any_other_host(void **state)
{
    (void)state;
    static struct made expected, got;
    make_all(&expected);
    const char *const names[] = {"", "upward", "downward", "toward zero", "denormals flushed"};
    for (int mode = 1; mode < 5; mode++) {
        fesetenv(FE_DFL_ENV);
        begin_mode(mode);
        const int rounding = fegetround();
        const bool is_flushing = are_denormals_flushed();
        make_all(&got);
        const bool is_kept = fegetround() == rounding && are_denormals_flushed() == is_flushing;
        fesetenv(FE_DFL_ENV);
        assert_true(is_flushing == (mode == 4));
        assert_true(is_kept);
        size_t at = 0;
        while (at < got.n && got.n == expected.n && got.bytes[at] == expected.bytes[at])
            at++;
        if (at != expected.n)
            fail_msg("%s: byte %zu of %zu differs", names[mode], at, expected.n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_sound_and_marks_are_those_of_any_other_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
