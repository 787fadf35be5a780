/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include <csm/experimental.h>
#include <csm/sampling.h>

#include "base/threads.h"
#include "sampling/mt19937.h"

static csm_sampler *sampler_of(csm_sampler_options config)
{
    csm_sampler *sampler = NULL;
    assert_int_equal(csm_sampler_open(&config, &sampler, NULL), CSM_OK);
    return sampler;
}

static void mt19937_gives_the_published_10000th_output(void **state)
{
    (void)state;
    struct mt19937 g;
    uint32_t word;
    csm_mt19937_seed(&g, 5489); /* ISO C++ [rand.predef] publishes this value */
    csm_mt19937_skip(&g, 9999);
    csm_mt19937_raw(&g, &word, 1);
    assert_int_equal(mt19937_temper(word), 4123659995u);
}

/* Calls check with every sampler, stream and dtype that go together. */
static void each_sampler(void (*check)(csm_sampler_options config))
{
    const csm_dtype dtypes[] = {CSM_DTYPE_F32, CSM_DTYPE_BF16, CSM_DTYPE_F16};
    int n = 0;
    for (int sampler = 0; sampler < CSM_SAMPLER_COUNT; sampler++)
        for (int stream = 0; stream < CSM_STREAM_COUNT; stream++)
            for (int i = 0; i < 3; i++) {
                csm_sampler_options config = csm_sampler_defaults();
                csm_sampler *s;
                config.sampler = (csm_sampler_kind)sampler;
                config.stream = (csm_stream_kind)stream;
                config.dtype = dtypes[i];
                config.seed = 42;
                if (csm_sampler_open(&config, &s, NULL) != CSM_OK)
                    continue;
                csm_sampler_close(s);
                check(config);
                n++;
            }
    /* torch samplers on 3 streams, mlx ones on 1; transformers on torch-inductor, and sesame
     * there in float32 alone */
    assert_int_equal(n, 3 * (2 * 3 + 2 * 1) + 3 + 1);
}

/* Draw from logits [2, 3] that are bad: nothing moves, and the next draw is the one
 * that a fresh sampler gives. */
static void check_refused(csm_sampler_options config, const float *logits, const char *what)
{
    const float good[6] = {1.0f, 2.0f, 0.5f, 2.0f, 2.0f, 1.0f};
    int32_t tokens[2] = {-7, -7}, first[2], next[2];
    float margins[2] = {-7, -7}, probs[6] = {-7};
    csm_error err;
    csm_sampler *s = sampler_of(config), *fresh = sampler_of(config);
    assert_int_equal(csm_sampler_draw(s, logits, 2, 3, tokens, margins, probs, &err),
                     CSM_BAD_LOGITS);
    if (strstr(err.text, what) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, what);
    assert_true(tokens[0] == -7 && tokens[1] == -7 && margins[0] == -7 && probs[0] == -7);
    assert_int_equal(csm_stream_save(csm_sampler_stream(s)).position, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(csm_sampler_draw(s, good, 2, 3, next, NULL, NULL, NULL), CSM_OK);
        assert_int_equal(csm_sampler_draw(fresh, good, 2, 3, first, NULL, NULL, NULL), CSM_OK);
        assert_memory_equal(next, first, sizeof next);
    }
    csm_sampler_close(s);
    csm_sampler_close(fresh);
}

static void check_bad_logits(csm_sampler_options config)
{
    const float inf = INFINITY;
    const float bad[][6] = {
        {0.5f, 1.0f, 2.0f, 0.5f, NAN, 1.0f},
        {0.5f, 1.0f, 2.0f, 0.5f, inf, NAN},
        {0.5f, 1.0f, 2.0f, -inf, -NAN, -inf},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(config, bad[i], "row 1, index 1");
    check_refused(config, (const float[6]){1, 2, 3, -inf, -inf, -inf}, "row 1, all 3 entries");
    if (config.dtype != CSM_DTYPE_F32) /* finite as it comes, not as bf16 or f16 */
        check_refused(config, (const float[6]){1, 3.4e38f, 3, 1, 2, 3}, "row 0, index 1");
    if (config.sampler == CSM_SAMPLER_TRANSFORMERS && config.stream != CSM_STREAM_TORCH_INDUCTOR)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            int32_t tokens[4] = {-7};
            csm_sampler *s = sampler_of(config);
            assert_int_equal(csm_sampler_draw_several(s, bad[i], 2, 3, 2, tokens, NULL),
                             CSM_BAD_LOGITS);
            assert_int_equal(csm_stream_save(csm_sampler_stream(s)).position, 0);
            assert_int_equal(tokens[0], -7);
            csm_sampler_close(s);
        }
}

static void bad_logits_are_named_and_move_nothing(void **state)
{
    (void)state;
    each_sampler(check_bad_logits);
    int32_t token = -7;
    const float nan[3] = {0.0f, 1.0f, NAN};
    csm_error err;
    assert_int_equal(csm_draw_greedy(nan, 1, 3, &token, NULL, &err), CSM_BAD_LOGITS);
    assert_non_null(strstr(err.text, "row 0, index 2"));
    assert_int_equal(csm_mlx_sample_exact(nan, 1, 3, 2, 0.9, 1, &token, &err), CSM_BAD_LOGITS);
    assert_non_null(strstr(err.text, "row 0, index 2"));
    assert_int_equal(token, -7);
}

static void check_bad_settings(csm_sampler_options config)
{
    const double bad[] = {0.0, -0.0, -1.0, 1e-60, 1e60, NAN, INFINITY, -INFINITY};
    const float logits[2] = {1.0f, 2.0f};
    int32_t token;
    csm_error err;
    csm_sampler *s = sampler_of(config), *none = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        csm_sampler_options c = config;
        c.temperature = bad[i];
        assert_int_equal(csm_sampler_open(&c, &none, &err), CSM_BAD_ARG);
        assert_non_null(strstr(err.text, "temperature: "));
        assert_null(none);
        assert_int_equal(csm_sampler_set_temperature(s, bad[i], &err), CSM_BAD_ARG);
        assert_int_equal(csm_mlx_sample_exact(logits, 1, 2, 2, bad[i], 1, &token, &err),
                         CSM_BAD_ARG);
    }
    assert_int_equal(csm_sampler_draw(s, logits, 0, 2, &token, NULL, NULL, NULL), CSM_BAD_ARG);
    assert_int_equal(csm_sampler_draw(s, logits, 1, 0, &token, NULL, NULL, NULL), CSM_BAD_ARG);
    assert_int_equal(csm_stream_save(csm_sampler_stream(s)).position, 0);
    csm_sampler_close(s);
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    each_sampler(check_bad_settings);
    const float logits[2] = {1.0f, 2.0f};
    int32_t token;
    csm_error err;
    for (size_t k = 0; k <= 3; k += 3) { /* of 2 */
        assert_int_equal(csm_mlx_sample_exact(logits, 1, 2, k, 0.9, 1, &token, &err), CSM_BAD_ARG);
        assert_non_null(strstr(err.text, "top-k: "));
    }
}

/* MLX multiplies by 1 / temperature in the dtype: in F16 that is infinite below 2^-16, and 0 from
 * 2^25 on. */
static void a_factor_that_the_type_does_not_have_is_refused(void **state)
{
    (void)state;
    const double within[] = {1.6e-5, 3e7}, beyond[] = {1.5e-5, 0x1p25};
    csm_sampler_options config = csm_sampler_defaults();
    config.sampler = CSM_SAMPLER_CSM_MLX;
    config.stream = CSM_STREAM_MLX;
    config.dtype = CSM_DTYPE_F16;
    csm_sampler *s = sampler_of(config), *none = NULL;
    csm_error err;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(csm_sampler_set_temperature(s, within[i], &err), CSM_OK);
        assert_int_equal(csm_sampler_set_temperature(s, beyond[i], &err), CSM_BAD_ARG);
        assert_non_null(strstr(err.text, "with sampler csm-mlx in F16"));
        csm_sampler_options other = config;
        other.temperature = beyond[i];
        assert_int_equal(csm_sampler_open(&other, &none, &err), CSM_BAD_ARG);
        other.dtype = CSM_DTYPE_BF16;
        csm_sampler_close(sampler_of(other));
    }
    csm_sampler_close(s);
}

/* A GPU that holds less than one block would give no thread an element. */
static void a_gpu_of_less_than_a_block_is_refused(void **state)
{
    (void)state;
    csm_error err;
    for (uint64_t n = 0; n <= 257; n++) {
        csm_sampler_options config = csm_sampler_defaults();
        config.stream = CSM_STREAM_TORCH_CUDA;
        config.cuda_threads = n;
        const csm_stream_state stream_state = {.kind = CSM_STREAM_TORCH_CUDA,
                                                      .cuda_threads = n};
        csm_status expected = n == 0 || n >= 256 ? CSM_OK : CSM_BAD_ARG;
        csm_sampler *sampler = NULL;
        csm_stream *stream = NULL;
        assert_int_equal(csm_sampler_open(&config, &sampler, &err), expected);
        assert_int_equal(csm_stream_open(&stream_state, &stream, &err), expected);
        float noise[4];
        if (expected == CSM_OK)
            assert_int_equal(csm_stream_fill(stream, CSM_DTYPE_F32, 1, 4, noise, &err), CSM_OK);
        csm_sampler_close(sampler);
        csm_stream_close(stream);
    }
    const csm_stream_state odd = {.kind = CSM_STREAM_TORCH_CUDA, .position = 2};
    csm_stream *stream = NULL;
    assert_int_equal(csm_stream_open(&odd, &stream, &err), CSM_BAD_ARG);
    assert_null(stream);
}

/* 60 entries that are not masked share 40 of the 112 groups that the selection
 * looks at first. */
static void top_k_counts_among_few_unmasked_entries(void **state)
{
    (void)state;
    float logits[2051], probs[2051];
    int32_t token;
    size_t n = 0;
    for (size_t i = 0; i < 2051; i++)
        logits[i] = i % 112 < 40 && i < 168 + 12 ? (float)i * 0.01f : -INFINITY;
    csm_sampler *s = sampler_of(csm_sampler_defaults());
    assert_int_equal(csm_sampler_draw(s, logits, 1, 2051, &token, NULL, probs, NULL), CSM_OK);
    for (size_t i = 0; i < 2051; i++)
        n += probs[i] > 0.0f;
    assert_int_equal(n, 50);
    csm_sampler_close(s);
}

static void a_saved_stream_goes_on_where_it_was(void **state)
{
    (void)state;
    float first[64], again[64];
    for (int kind = 0; kind < CSM_STREAM_COUNT; kind++) {
        csm_stream_state begin = {.kind = (csm_stream_kind)kind, .seed = 42};
        csm_stream *a, *b;
        assert_int_equal(csm_stream_open(&begin, &a, NULL), CSM_OK);
        for (int call = 0; call < 25; call++)
            assert_int_equal(csm_stream_fill(a, CSM_DTYPE_F32, 1, 64, first, NULL), CSM_OK);
        csm_stream_state saved = csm_stream_save(a);
        assert_int_equal(csm_stream_open(&saved, &b, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_DTYPE_F32, 1, 64, first, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(b, CSM_DTYPE_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        assert_int_equal(csm_stream_seek(a, saved.position, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_DTYPE_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        csm_stream_close(a);
        csm_stream_close(b);
    }
}

static void a_stream_that_follows_another_goes_on_with_it(void **state)
{
    (void)state;
    float first[64], again[64];
    for (int kind = 0; kind < CSM_STREAM_COUNT; kind++) {
        csm_stream_state begin = {.kind = (csm_stream_kind)kind, .seed = 42};
        csm_stream_state elsewhere = {.kind = (csm_stream_kind)kind, .seed = 7};
        csm_stream *a, *b;
        assert_int_equal(csm_stream_open(&begin, &a, NULL), CSM_OK);
        assert_int_equal(csm_stream_open(&elsewhere, &b, NULL), CSM_OK);
        for (int call = 0; call < 25; call++) {
            assert_int_equal(csm_stream_fill(a, CSM_DTYPE_F32, 1, 64, first, NULL), CSM_OK);
            assert_int_equal(csm_stream_fill(b, CSM_DTYPE_BF16, 2, 8, again, NULL), CSM_OK);
        }
        assert_int_equal(csm_stream_follow(b, a, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_DTYPE_F32, 1, 64, first, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(b, CSM_DTYPE_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        assert_true(csm_stream_save(a).position == csm_stream_save(b).position);
        begin.kind = (csm_stream_kind)((kind + 1) % CSM_STREAM_COUNT);
        csm_stream_close(b);
        assert_int_equal(csm_stream_open(&begin, &b, NULL), CSM_OK);
        assert_int_equal(csm_stream_follow(b, a, NULL), CSM_BAD_ARG);
        csm_stream_close(a);
        csm_stream_close(b);
    }
}

static void greedy_takes_the_first_of_equal_ones(void **state)
{
    (void)state;
    const float logits[8] = {1, 3, 3, 2, -INFINITY, 0, 5, 4};
    int32_t tokens[2];
    float margins[2];
    assert_int_equal(csm_draw_greedy(logits, 2, 4, tokens, margins, NULL), CSM_OK);
    assert_int_equal(tokens[0], 1);
    assert_int_equal(tokens[1], 2);
    assert_true(margins[0] == 0.0f && margins[1] == 1.0f);
}

static void a_draw_is_certain_above_twice_the_error(void **state)
{
    (void)state;
    assert_true(csm_draw_is_certain(0.5f, 0.2f));
    assert_false(csm_draw_is_certain(0.4f, 0.2f));
    assert_true(csm_draw_is_certain(INFINITY, 1.0f));
    assert_false(csm_draw_is_certain(0.0f, 0.0f));
}

static int32_t token_of(csm_sampler_options config, const float *logits, size_t n,
                        float *margin)
{
    int32_t token;
    csm_sampler *s = sampler_of(config);
    assert_int_equal(csm_sampler_draw(s, logits, 1, n, &token, margin, NULL, NULL), CSM_OK);
    csm_sampler_close(s);
    return token;
}

/* Logits off by `off`: the token's lower, all others higher, which is the worst for a race;
 * and those before the token higher, all others lower, which is for the inverse CDF. A
 * certain draw stays; a race that is not goes to the runner-up. */
static void check_certain_draws(csm_sampler_options config)
{
    enum { N = 12, N_DRAWS = 400 };
    const bool is_race = config.sampler == CSM_SAMPLER_TRANSFORMERS;
    float logits[N], against[N], before[N], margin;
    uint32_t word = 1;
    size_t n_certain = 0, n_changed = 0;
    if (config.dtype != CSM_DTYPE_F32) /* rounding adds errors of its own */
        return;
    for (int i = 0; i < N_DRAWS; i++) {
        const float off = 0.05f * (float)(1 + i % 8);
        const float step = off * (float)config.temperature;
        config.seed = (uint64_t)i;
        for (int j = 0; j < N; j++) {
            word = word * 1664525u + 1013904223u;
            logits[j] = (float)(word >> 16) / 16384.0f;
        }
        int32_t token = token_of(config, logits, N, &margin);
        for (int j = 0; j < N; j++) {
            against[j] = logits[j] + (j == token ? -step : step);
            before[j] = logits[j] + (j < token ? step : -step);
        }
        bool is_certain = csm_draw_is_certain(margin, off);
        bool is_changed = token_of(config, against, N, NULL) != token;
        if (is_certain)
            assert_true(!is_changed && token_of(config, before, N, NULL) == token);
        else if (is_race)
            assert_true(is_changed);
        n_certain += is_certain;
        n_changed += is_changed;
    }
    assert_true(n_certain > N_DRAWS / 20 && n_changed > 0);
}

static void certain_draws_survive_the_error_and_no_others(void **state)
{
    (void)state;
    each_sampler(check_certain_draws);
}

/* Every call gives back what the one before it left, whichever thread made it: what was
 * switched on less what was found on is what is left. */
static void turn_the_switch(void *user, size_t first, size_t end, int thread)
{
    atomic_int *balance = user;
    (void)thread;
    for (size_t i = first; i < end; i++) {
        bool enable = i % 3 != 0;
        atomic_fetch_add(balance, (int)enable - (int)csm_patch_mlx_sampling(enable, false));
        (void)csm_exact_sampling_enabled();
    }
}

static void the_switch_may_be_turned_by_any_thread(void **state)
{
    (void)state;
    csm_threads *threads = NULL;
    atomic_int balance = 0;
    assert_false(csm_exact_sampling_enabled());
    assert_int_equal(csm_threads_new(4, &threads, NULL), CSM_OK);
    csm_threads_run(threads, turn_the_switch, &balance, 20000, 1);
    csm_threads_free(threads);
    assert_int_equal(atomic_load(&balance), csm_exact_sampling_enabled());
    csm_patch_mlx_sampling(true, false);
    assert_true(csm_exact_sampling_enabled());
    assert_true(csm_patch_mlx_sampling(false, false));
    assert_false(csm_exact_sampling_enabled());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_gives_the_published_10000th_output),
        cmocka_unit_test(bad_logits_are_named_and_move_nothing),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(a_factor_that_the_type_does_not_have_is_refused),
        cmocka_unit_test(a_gpu_of_less_than_a_block_is_refused),
        cmocka_unit_test(top_k_counts_among_few_unmasked_entries),
        cmocka_unit_test(a_saved_stream_goes_on_where_it_was),
        cmocka_unit_test(a_stream_that_follows_another_goes_on_with_it),
        cmocka_unit_test(greedy_takes_the_first_of_equal_ones),
        cmocka_unit_test(a_draw_is_certain_above_twice_the_error),
        cmocka_unit_test(certain_draws_survive_the_error_and_no_others),
        cmocka_unit_test(the_switch_may_be_turned_by_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
