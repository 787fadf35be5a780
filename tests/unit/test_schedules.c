/* SPDX-License-Identifier: Apache-2.0
 *
 * Generations side by side say, bit for bit, what each says alone: in whatever order they
 * come, are read, are cancelled or dropped, and whatever happens to the others.
 *
 * Random choices come from CSM_SEED (default 1), which a failure prints; CSM_SCHEDULES
 * (default 5) schedules are tried for each model and kernel table, CSM_STARTS (default 96)
 * generations begun from CSM_THREADS (default 8) threads. CSM_TEST names the one test to run,
 * with * and ? as in file names. */
#include "unit/cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "engine/native/native.h"
#include "generate/model.h"
#include "unit/request.h"

enum { REQUESTS = 18, MOST_FRAMES = 9, CODEBOOKS = 8, SAMPLES = 1920, MOST_ACTIVE = 7 };

/* A sanitizer looks at threads and memory; that every table's bits are the same is others'. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PRECISION_STEP = 2, MOST_TABLES = 1 };
#else
enum { PRECISION_STEP = 1, MOST_TABLES = 16 };
#endif

static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static const csm_precision precisions[] = {CSM_PRECISION_F32, CSM_PRECISION_BF16, CSM_PRECISION_Q8,
                                           CSM_PRECISION_Q4};

static uint64_t seed = 1;

static long from_environment(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value != NULL ? strtol(value, NULL, 10) : otherwise;
}

/* A number below n, by xorshift64. */
static size_t below(uint64_t *state, size_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (size_t)(*state % n);
}

/* ---- requests ------------------------------------------------------------------ */

static int32_t context_codes[2][140 * CODEBOOKS];
static csm_turn contexts[2];

static void make_contexts(size_t n_entries)
{
    for (size_t c = 0; c < 2; c++) {
        for (size_t i = 0; i < 140 * CODEBOOKS; i++)
            context_codes[c][i] = (int32_t)(1 + (i * 7 + c * 131) % (n_entries - 1));
        contexts[c] = (csm_turn){.text = c == 0 ? "Well." : "And so it was.",
                                 .speaker = (int)c,
                                 .codes = context_codes[c],
                                 .n_frames = c == 0 ? 9 : 140};
    }
}

static csm_request request_of(size_t i)
{
    static const char *const texts[] = {"Hello.", "How are you today?", "Fine.", "No.",
                                        "And then some more of it.", "Why not?", "Because."};
    const size_t n_context = i % 3;
    csm_request request = csm_request_of(texts[i % 7], (int)(i % 2));
    request.context = n_context > 0 ? &contexts[n_context - 1] : NULL;
    request.n_context = n_context > 0;
    return request;
}

static csm_generate_options options_of(size_t i)
{
    csm_generate_options o = csm_generate_defaults();
    o.strategy = CSM_STRATEGY_EXACT;
    o.seed = 100 + i;
    o.max_frames = 1 + i * 5 % MOST_FRAMES;
    o.without_sound = i % 4 == 3;
    o.temperature = i % 5 == 4 ? 0.0 : 0.7 + 0.1 * (double)(i % 4);
    o.top_k = i % 6 == 5 ? 0 : 20;
    if (i % 7 == 3 && o.temperature > 0) {
        o.sampler = "transformers";
        o.top_p = 0.9;
        o.depth_min_p = 0.02;
    }
    o.min_frames = i % 8 != 1 ? 0 : o.max_frames < 4 ? o.max_frames : 4;
    if (i % 6 == 2) {
        o.forced = context_codes[1];
        o.n_forced = o.max_frames < 3 ? o.max_frames : 3;
    }
    return o;
}

/* What each says alone. */
static csm_result *alone[REQUESTS];

/* ---- models --------------------------------------------------------------------- */

static csm_model *open_model(size_t which, const struct kernels *kernels, size_t max_lanes,
                             size_t kept_bytes)
{
    csm_error err;
    csm_model *model = NULL;
    csm_model_options options = csm_model_defaults();
    options.engine = "native";
    options.precision = precisions[which];
    options.n_threads = 1 + (int)(which == 3); /* two wait for each other where others use the cores */
    options.max_lanes = max_lanes;
    options.prefix_cache_bytes = kept_bytes;
    if (csm_model_open(model_dir, &options, &model, &err) != CSM_OK)
        fail_msg("%s", err.text);
    ((struct native *)model->host.engine.ctx)->kernels = kernels;
    make_contexts(csm_model_describe(model)->n_entries);
    return model;
}

static void say_alone(size_t which, const struct kernels *kernels)
{
    csm_model *model = open_model(which, kernels, 0, 0); /* keeps nothing from one to the next */
    for (size_t i = 0; i < REQUESTS; i++) {
        csm_error err;
        const csm_request request = request_of(i);
        const csm_generate_options options = options_of(i);
        csm_result_close(alone[i]);
        alone[i] = NULL;
        if (csm_generate(model, &request, &options, &alone[i], &err) != CSM_OK)
            fail_msg("request %zu: %s", i, err.text);
    }
    csm_model_close(model);
}

static bool is_equal(const csm_frame *frame, const csm_result *expected)
{
    const size_t at = frame->index * CODEBOOKS;
    return frame->index < expected->n_frames &&
           memcmp(frame->codes, expected->codes + at, CODEBOOKS * 4) == 0 &&
           memcmp(frame->margins, expected->margins + at, CODEBOOKS * 4) == 0 &&
           memcmp(frame->probs, expected->probs + at, CODEBOOKS * 4) == 0 &&
           (frame->samples == NULL ||
            memcmp(frame->samples, expected->samples + frame->index * SAMPLES, SAMPLES * 4) == 0);
}

/* ---- schedules -------------------------------------------------------------------- */

struct active {
    csm_generation *g;
    size_t request, n_read;
    bool is_cancelled;
};

static void step(struct active *a, uint64_t *dice, uint64_t reproduce)
{
    csm_error err;
    csm_poll found;
    const csm_frame *frame;
    csm_status st = csm_generation_poll(a->g, (int)below(dice, 2) * 20, &found, &frame, &err);
    if (a->is_cancelled) {
        assert_int_equal(st, CSM_CANCELLED);
    } else if (st != CSM_OK) {
        fail_msg("%s; reproduce: CSM_SEED=%llu", err.text, (unsigned long long)reproduce);
    } else if (found == CSM_POLL_FRAME) {
        if (!is_equal(frame, alone[a->request]) || frame->index != a->n_read++)
            fail_msg("request %zu, frame %zu; reproduce: CSM_SEED=%llu", a->request, frame->index,
                     (unsigned long long)reproduce);
        return;
    } else if (found == CSM_POLL_PENDING) {
        return;
    } else {
        const csm_report report = csm_report_of(a->g);
        assert_int_equal(a->n_read, alone[a->request]->n_frames);
        assert_int_equal(report.n_frames, a->n_read);
        assert_int_equal(report.has_ended, alone[a->request]->report->has_ended);
    }
    csm_generation_close(a->g);
    a->g = NULL;
}

static void run_schedule(csm_model *model, uint64_t *dice)
{
    const uint64_t reproduce = *dice;
    struct active active[MOST_ACTIVE] = {{0}};
    size_t n_left = 4 + below(dice, 8), n_active = 0;
    while (n_left > 0 || n_active > 0) {
        struct active *a = &active[below(dice, MOST_ACTIVE)];
        if (a->g == NULL && n_left > 0) {
            csm_error err;
            *a = (struct active){.request = below(dice, REQUESTS)};
            const csm_request request = request_of(a->request);
            csm_generate_options options = options_of(a->request);
            options.n_ahead = 1 + below(dice, 3);
            options.is_live = below(dice, 2) == 0;
            if (csm_generation_open(model, &request, &options, &a->g, &err) != CSM_OK)
                fail_msg("%s", err.text);
            n_left--;
        } else if (a->g != NULL) {
            const size_t choice = below(dice, 40);
            if (choice == 0) {
                csm_generation_close(a->g); /* walk away */
                a->g = NULL;
            } else if (choice == 1 && a->n_read < alone[a->request]->n_frames) {
                csm_generation_cancel(a->g);
                a->is_cancelled = true;
            } else {
                step(a, dice, reproduce);
            }
        }
        n_active = 0;
        for (size_t i = 0; i < MOST_ACTIVE; i++)
            n_active += active[i].g != NULL;
    }
}

static void any_schedule_gives_each_what_it_says_alone(void **state)
{
    (void)state;
    const long n = from_environment("CSM_SCHEDULES", 5);
    for (size_t m = 0; m < sizeof precisions / sizeof *precisions; m += PRECISION_STEP)
        for (size_t t = 0; t < MOST_TABLES && csm_kernels_fast(t) != NULL; t++) {
            say_alone(m, csm_kernels_fast(t));
            csm_model *model = open_model(m, csm_kernels_fast(t), m % 2 == 0 ? 0 : 4, 1 << 22);
            for (long i = 0; i < n; i++)
                run_schedule(model, &seed);
            csm_model_close(model);
        }
}

/* ---- one that fails --------------------------------------------------------------------- */

static struct csm_engine_ops failing;
static csm_lane *cursed; /* the engine fails over this lane */
static size_t n_lanes_until; /* the n-th backbone lane from now on is that one; 0: none */
static size_t n_logits_until; /* the n-th row of logits from now on is no number; 0: none */

static csm_status failing_lane_open(void *ctx, const struct csm_attention *blocks, size_t n_layers,
                                    size_t capacity, csm_lane **out, csm_error *err)
{
    csm_status st = csm_native_lane_open(ctx, blocks, n_layers, capacity, out, err);
    if (capacity > 1000 && n_lanes_until > 0 && --n_lanes_until == 0)
        cursed = *out;
    return st;
}

static void failing_lane_close(void *ctx, csm_lane *lane)
{
    if (lane == cursed)
        cursed = NULL; /* another may lie where it lay */
    csm_native_lane_close(ctx, lane);
}

static csm_status failing_attention(void *ctx, const struct csm_attention *block, size_t layer,
                                    const struct csm_rows *rows, size_t n, csm_value *x,
                                    csm_error *err)
{
    for (size_t i = 0; layer == 1 && i < n; i++)
        if (rows[i].lane == cursed && cursed != NULL) {
            snprintf(err->text, sizeof err->text, "native: a curse");
            return CSM_ENGINE;
        }
    return csm_native_attention(ctx, block, layer, rows, n, x, err);
}

static csm_status failing_read(void *ctx, const csm_value *x, size_t rows, size_t cols, float *host,
                               csm_error *err)
{
    csm_status st = csm_engine_native.read(ctx, x, rows, cols, host, err);
    if (cols > 1000 && n_logits_until > 0 && --n_logits_until == 0)
        host[below(&seed, rows) * cols + 5] = NAN;
    return st;
}

/* The engine fails over one lane, or gives one lane logits that are no numbers: that one
 * ends with the error, the others go on and are what they are alone. */
static void who_fails_ends_alone(void **state)
{
    (void)state;
    enum { N = 5 };
    say_alone(0, csm_kernels_fast(0));
    for (int round = 0; round < 40; round++) {
        const uint64_t reproduce = seed;
        csm_generation *all[N] = {NULL};
        csm_error err;
        csm_model *model = open_model(0, csm_kernels_fast(0), 0, 1 << 22);
        failing = csm_engine_native;
        failing.lane_open = failing_lane_open;
        failing.lane_close = failing_lane_close;
        failing.attention = failing_attention;
        failing.read = failing_read;
        cursed = NULL;
        n_lanes_until = round % 2 == 0 ? 1 + below(&seed, 3) : 0;
        n_logits_until = round % 2 == 0 ? 0 : 1 + below(&seed, 60);
        model->host.engine.ops = &failing;
        size_t n_failed = 0;
        for (size_t i = 0; i < N; i++) {
            const csm_request request = request_of(3 * i + (size_t)round % 3);
            const csm_generate_options options = options_of(3 * i + (size_t)round % 3);
            assert_int_equal(csm_generation_open(model, &request, &options, &all[i], &err), CSM_OK);
        }
        for (size_t i = 0; i < N; i++) {
            const csm_result *expected = alone[3 * i + (size_t)round % 3];
            const csm_frame *frame = NULL;
            size_t n = 0;
            csm_status st;
            while ((st = csm_generation_next(all[i], &frame, &err)) == CSM_OK && frame != NULL)
                if (!is_equal(frame, expected) || frame->index != n++)
                    fail_msg("lane %zu, frame %zu; reproduce: CSM_SEED=%llu", i, n,
                             (unsigned long long)reproduce);
            if (st == CSM_OK) {
                assert_int_equal(n, expected->n_frames);
            } else {
                n_failed++;
                assert_int_equal(st, round % 2 == 0 ? CSM_ENGINE : CSM_BAD_LOGITS);
                assert_int_equal(csm_generation_next(all[i], &frame, &err), st); /* and again */
            }
            csm_generation_close(all[i]);
        }
        assert_true(n_failed <= 1);
        /* The next one works. */
        cursed = NULL;
        n_lanes_until = n_logits_until = 0;
        csm_result *result = NULL;
        const csm_request request = request_of(0);
        const csm_generate_options options = options_of(0);
        assert_int_equal(csm_generate(model, &request, &options, &result, &err), CSM_OK);
        assert_memory_equal(result->codes, alone[0]->codes,
                            result->n_frames * CODEBOOKS * sizeof *result->codes);
        csm_result_close(result);
        csm_model_close(model);
    }
}

/* ---- threads ------------------------------------------------------------------------------ */

struct caller {
    csm_model *model;
    uint64_t dice;
    long n;
    size_t n_unequal, n_failed;
};

static bool refuse_late(void *user, const csm_frame *frame)
{
    (void)user;
    return frame->index < 2;
}

/* Begins, reads, cancels, drops; sometimes with arguments that are wrong. */
static void *call_at_random(void *argument)
{
    struct caller *c = argument;
    for (long i = 0; i < c->n; i++) {
        const size_t r = below(&c->dice, REQUESTS), how = below(&c->dice, 8);
        csm_request request = request_of(r);
        csm_generate_options options = options_of(r);
        csm_generation *g = NULL;
        csm_error err;
        if (how == 0) {
            options.temperature = -1;
            c->n_unequal += csm_generation_open(c->model, &request, &options, &g, &err) !=
                            CSM_BAD_ARG;
            continue;
        }
        if (how == 1)
            options.on_frame = refuse_late;
        if (csm_generation_open(c->model, &request, &options, &g, &err) != CSM_OK) {
            c->n_failed++;
            continue;
        }
        const size_t n_wanted = how == 2 ? below(&c->dice, 3) : SIZE_MAX;
        const csm_frame *frame;
        csm_status st = CSM_OK;
        size_t n = 0;
        while (n < n_wanted && (st = csm_generation_next(g, &frame, &err)) == CSM_OK &&
               frame != NULL) {
            c->n_unequal += !is_equal(frame, alone[r]);
            n++;
            if (how == 3 && n == 2)
                csm_generation_cancel(g);
            if (how == 4)
                (void)csm_report_of(g);
        }
        if (how > 3)
            c->n_unequal += st != CSM_OK || n != alone[r]->n_frames;
        csm_load load = {.size = sizeof load};
        csm_model_load(c->model, &load);
        csm_generation_close(g);
    }
    return NULL;
}

static void threads_begin_cancel_and_drop_as_they_like(void **state)
{
    (void)state;
    enum { MOST = 64 };
    const long n_threads = from_environment("CSM_THREADS", 8);
    const long n_starts = from_environment("CSM_STARTS", 96);
    assert_true(n_threads >= 1 && n_threads <= MOST);
    pthread_t threads[MOST];
    struct caller callers[MOST];
    say_alone(0, csm_kernels_fast(0));
    csm_model *model = open_model(0, csm_kernels_fast(0), 0, 1 << 22);
    for (long i = 0; i < n_threads; i++) {
        callers[i] = (struct caller){model, seed * 7919 + (uint64_t)i + 1, n_starts / n_threads, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_at_random, &callers[i]), 0);
    }
    for (long i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].n_unequal, 0);
        assert_int_equal(callers[i].n_failed, 0);
    }
    csm_load load = {.size = sizeof load};
    csm_model_load(model, &load);
    assert_true(load.n_frames > 0);
    csm_model_close(model);
}

static int forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUESTS; i++)
        csm_result_close(alone[i]);
    return 0;
}

int main(void)
{
    seed = (uint64_t)from_environment("CSM_SEED", 1);
    cmocka_set_test_filter(getenv("CSM_TEST")); /* NULL: all */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_schedule_gives_each_what_it_says_alone),
        cmocka_unit_test(who_fails_ends_alone),
        cmocka_unit_test(threads_begin_cancel_and_drop_as_they_like),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
