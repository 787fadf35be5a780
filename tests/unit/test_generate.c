/* SPDX-License-Identifier: Apache-2.0
 *
 * What csm.h promises of a generation, on csm-a: steps, limits, teacher forcing,
 * candidates, the observer, memory. That its tokens are the references' is
 * tests/reference/. */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <csm/csm.h>

#include "unit/request.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

static const char dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static const char text[] = "Hello from Sesame. It's 2025, isn't it?";
static csm_model *model;

static void ok(csm_status st, const csm_error *err)
{
    if (st != CSM_OK)
        fail_msg("%s", err->text);
}

static csm_result *run(const csm_generate_options *options)
{
    csm_error err;
    csm_result *result = NULL;
    ok(csm_generate(model, &REQUEST(NULL, 0, text, 0), options, &result, &err), &err);
    return result;
}

static csm_generate_options seeded(uint64_t seed, size_t max_frames)
{
    csm_generate_options options = csm_generate_defaults();
    options.seed = seed;
    options.max_frames = max_frames;
    options.without_sound = true;
    return options;
}

static void steps_are_what_the_loop_collects(void **state)
{
    (void)state;
    csm_error err;
    csm_generate_options options = seeded(42, 6);
    options.without_sound = false;
    csm_result *whole = run(&options);
    csm_generation *g = NULL;
    ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err), &err);
    const csm_frame *frame;
    size_t n = 0;
    for (;;) {
        ok(csm_generation_next(g, &frame, &err), &err);
        if (frame == NULL)
            break;
        assert_int_equal(frame->index, n);
        assert_memory_equal(frame->codes, whole->codes + n * whole->n_codebooks,
                            whole->n_codebooks * sizeof *frame->codes);
        assert_memory_equal(frame->samples, whole->samples + n * frame->n_samples,
                            frame->n_samples * sizeof *frame->samples);
        n++;
    }
    assert_int_equal(n, 6);
    assert_int_equal(csm_report_of(g).n_frames, 6);
    assert_false(csm_report_of(g).has_ended);
    csm_generation_close(g);
    csm_result_close(whole);
}

/* Each says what it says alone, whichever is read first. */
static void two_generations_do_not_know_of_each_other(void **state)
{
    (void)state;
    csm_error err;
    csm_generate_options options = seeded(1, 6);
    csm_result *alone = run(&options);
    csm_generation *both[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &both[i], &err), &err);
    for (int i = 1; i >= 0; i--) {
        const csm_frame *frame = NULL;
        for (size_t f = 0; f < 6; f++) {
            ok(csm_generation_next(both[i], &frame, &err), &err);
            assert_non_null(frame);
            assert_memory_equal(frame->codes, alone->codes + f * alone->n_codebooks,
                                alone->n_codebooks * sizeof *frame->codes);
        }
        ok(csm_generation_next(both[i], &frame, &err), &err);
        assert_null(frame);
    }
    csm_generation_close(both[0]);
    csm_generation_close(both[1]);
    csm_result_close(alone);
}

static void a_cancelled_one_says_so_from_then_on(void **state)
{
    (void)state;
    csm_error err;
    const csm_frame *frame = NULL;
    csm_poll found;
    csm_generation *g = NULL;
    csm_generate_options options = seeded(1, 300);
    options.min_frames = 300;
    ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err), &err);
    ok(csm_generation_next(g, &frame, &err), &err);
    assert_non_null(frame);
    csm_generation_cancel(g);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(csm_generation_next(g, &frame, &err), CSM_CANCELLED);
        assert_null(frame);
        assert_int_equal(csm_generation_poll(g, 0, &found, &frame, &err), CSM_CANCELLED);
    }
    csm_generation_close(g);
}

static void a_reader_who_is_slow_loses_nothing(void **state)
{
    (void)state;
    csm_error err;
    csm_generate_options options = seeded(9, 12);
    csm_result *whole = run(&options);
    for (size_t n_ahead = 1; n_ahead <= 5; n_ahead += 2) {
        csm_generation *g = NULL;
        options.n_ahead = n_ahead;
        ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err), &err);
        csm_poll found = CSM_POLL_FRAME;
        size_t n = 0;
        while (found != CSM_POLL_END) {
            const csm_frame *frame;
            struct timespec pause = {0, 3000000};
            if (n % 3 == 0)
                nanosleep(&pause, NULL);
            ok(csm_generation_poll(g, n % 2 == 0 ? 0 : 1000, &found, &frame, &err), &err);
            if (found == CSM_POLL_FRAME)
                assert_memory_equal(frame->codes, whole->codes + n++ * whole->n_codebooks,
                                    whole->n_codebooks * sizeof *frame->codes);
        }
        assert_int_equal(n, whole->n_frames);
        csm_generation_close(g);
    }
    csm_result_close(whole);
}

/* The scheduler's thread writes these; the test looks when the newcomer has its frame. */
struct meeting {
    bool is_reading; /* the newcomer's prompt */
    size_t n_drawn;  /* frames of the one who speaks, meanwhile */
};

static void speaker_has_drawn(void *user)
{
    struct meeting *m = user;
    m->n_drawn += m->is_reading;
}

static void newcomer_reads(void *user, const char *name, size_t frame, size_t at, const float *data,
                           size_t rows, size_t cols)
{
    (void)name, (void)frame, (void)at, (void)data, (void)rows, (void)cols;
    ((struct meeting *)user)->is_reading = true;
}

static void newcomer_has_drawn(void *user)
{
    ((struct meeting *)user)->is_reading = false;
}

/* Frames that one who speaks draws while a prompt of 200 positions is read. */
static size_t drawn_beside_a_prompt(bool is_live)
{
    enum { CONTEXT = 200, AHEAD = 40 };
    csm_error err;
    static int32_t codes[CONTEXT * 32];
    const csm_turn turn = {.text = "Before.", .codes = codes, .n_frames = CONTEXT};
    struct meeting meeting = {0};
    csm_generation *speaker = NULL, *newcomer = NULL;
    csm_generate_options options = seeded(3, 4000);
    options.max_frames = csm_model_describe(model)->max_positions - 64;
    options.min_frames = options.max_frames;
    options.n_ahead = options.max_frames;
    options.is_live = is_live;
    options.user = &meeting;
    options.on_ready = speaker_has_drawn;
    ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &speaker, &err), &err);
    const csm_frame *frame;
    for (size_t i = 0; i < AHEAD; i++) /* 3.2 s of sound */
        ok(csm_generation_next(speaker, &frame, &err), &err);
    options.max_frames = options.min_frames = 1;
    options.on_ready = newcomer_has_drawn;
    options.observe = newcomer_reads;
    ok(csm_generation_open(model, &REQUEST(&turn, 1, text, 0), &options, &newcomer, &err), &err);
    ok(csm_generation_next(newcomer, &frame, &err), &err);
    assert_non_null(frame);
    csm_generation_close(newcomer);
    csm_generation_close(speaker);
    return meeting.n_drawn;
}

static void one_that_is_heard_rests_while_another_begins(void **state)
{
    (void)state;
    assert_int_equal(drawn_beside_a_prompt(true), 0);
    assert_true(drawn_beside_a_prompt(false) > 0);
}

/* Each of these was a crash, or a silence, once. */
static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    csm_error err;
    csm_result *result = NULL;
    csm_generation *g = NULL;
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, NULL, 0), NULL, &result, &err),
                     CSM_BAD_ARG);
    const csm_turn wordless = {.codes = (int32_t[8]){1}, .n_frames = 1};
    assert_int_equal(csm_generate(model, &REQUEST(&wordless, 1, text, 0), NULL, &result, &err),
                     CSM_BAD_ARG);
    csm_model_options unknown = csm_model_defaults();
    unknown.precision = (csm_precision)99;
    csm_model *none = NULL;
    assert_int_equal(csm_model_open(dir, &unknown, &none, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "precision 99"));
    csm_request sizeless = {.text = text};
    assert_int_equal(csm_generation_open(model, &sizeless, NULL, &g, &err), CSM_BAD_ARG);
    csm_generate_options options = seeded(0, 4);
    options.size = sizeof options + 8;
    assert_int_equal(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err),
                     CSM_BAD_ARG);
    options = seeded(0, 4);
    options.top_k = -1; /* what 0.1 had for the model's own */
    assert_int_equal(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err),
                     CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "-1"));
    options = seeded(0, 4);
    options.n_ahead = 0;
    assert_int_equal(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err),
                     CSM_BAD_ARG);
    options = seeded(0, 4);
    options.min_frames = 5;
    assert_int_equal(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err),
                     CSM_BAD_ARG);
    assert_string_equal(err.text, "5 frames at least, expected no more than the 4 at most");

    csm_model *described = NULL;
    csm_model_options how = csm_model_defaults();
    how.describe_only = true;
    ok(csm_model_open(dir, &how, &described, &err), &err);
    assert_int_equal(csm_generate(described, &REQUEST(NULL, 0, text, 0), NULL, &result, &err),
                     CSM_BAD_ARG);
    float sound[1920] = {0};
    int32_t codes[8] = {0};
    csm_codec *codec = csm_model_codec(described);
    assert_int_equal(csm_codec_encode(codec, sound, 1920, 8, codes, &err), CSM_BAD_ARG);
    assert_int_equal(csm_codec_decode(codec, codes, 1, 8, sound, &err), CSM_BAD_ARG);
    csm_model_close(described);
    csm_decoder *decoder = NULL;
    assert_int_equal(csm_decoder_open(NULL, &decoder, &err), CSM_BAD_ARG);
    assert_int_equal(csm_codec_decode(NULL, codes, 1, 8, sound, &err), CSM_BAD_ARG);
    assert_null(result);
    assert_null(g);
}

static void fewer_options_than_there_are_will_do(void **state)
{
    (void)state;
    csm_error err;
    csm_generate_options options = seeded(42, 6);
    csm_result *whole = run(&options), *known = NULL;
    options.hidden_frames = 7; /* beyond what the caller says to know */
    options.size = offsetof(csm_generate_options, hidden_frames);
    ok(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &known, &err), &err);
    assert_int_equal(known->n_hidden, 0);
    assert_memory_equal(known->codes, whole->codes,
                        whole->n_frames * whole->n_codebooks * sizeof *whole->codes);
    csm_result_close(known);
    csm_result_close(whole);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    csm_error err;
    csm_result *result = NULL;
    csm_generate_options options = seeded(0, csm_model_describe(model)->max_positions);
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &result, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "2048"));
    options = seeded(0, 4);
    options.temperature = -0.5;
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &result, &err), CSM_BAD_ARG);
    options = seeded(0, 4);
    options.sampler = "nobody";
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &result, &err), CSM_BAD_ARG);
    const csm_turn silent = {.text = "before"};
    options = seeded(0, 4);
    assert_int_equal(csm_generate(model, &REQUEST(&silent, 1, text, 0), &options, &result, &err),
                     CSM_BAD_ARG);
    int32_t codes[8] = {0, 0, 0, 5000, 0, 0, 0, 0};
    const csm_turn wrong = {.text = "before", .codes = codes, .n_frames = 1};
    assert_int_equal(csm_generate(model, &REQUEST(&wrong, 1, text, 0), &options, &result, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "codebook 3"));
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, "\xff", 0), &options, &result, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "byte 0 ")); /* of the text, not of what the prompt has before it */
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 1, text, 0), &options, &result, &err), CSM_BAD_ARG);
    assert_string_equal(err.text, "context: none, expected 1 turns");
    const csm_utterance one = {.text = text};
    assert_int_equal(csm_generate_batch(model, NULL, 1, &one, 1, 1, &options, NULL, &err), CSM_BAD_ARG);
    options.n_forced = 2;
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &result, &err), CSM_BAD_ARG);
    assert_string_equal(err.text, "forced: none, expected 2 frames");
    assert_null(result);
}

/* Forced along its own path a generation draws that path again, logits and all. */
static void forced_codes_are_the_history(void **state)
{
    (void)state;
    csm_generate_options options = seeded(42, 8);
    options.keep_logits = true;
    csm_result *free_run = run(&options);
    options.forced = free_run->codes;
    options.n_forced = free_run->n_frames;
    csm_result *forced = run(&options);
    size_t n = free_run->n_frames * free_run->n_codebooks;
    assert_memory_equal(forced->codes, free_run->codes, n * sizeof *forced->codes);
    assert_memory_equal(forced->logits, free_run->logits,
                        n * free_run->vocab * sizeof *forced->logits);

    /* Another seed along the same path: other draws from the same logits. */
    options.seed = 43;
    csm_result *other = run(&options);
    assert_memory_equal(other->logits, free_run->logits,
                        n * free_run->vocab * sizeof *other->logits);
    assert_memory_not_equal(other->codes, free_run->codes, n * sizeof *other->codes);
    csm_result_close(other);
    csm_result_close(forced);
    csm_result_close(free_run);
}

static bool check_candidates(void *user, const csm_frame *frame)
{
    size_t *n_checked = user;
    int32_t codes[60];
    float probs[60];
    for (size_t k = 0; k < 8; k++) {
        size_t n = csm_generation_candidates(frame->generation, k, 60, codes, probs);
        bool has_drawn = false;
        assert_true(n >= 1 && n <= 60);
        for (size_t i = 0; i < n; i++) {
            assert_true(i == 0 || probs[i] <= probs[i - 1]);
            if (codes[i] == frame->codes[k]) {
                assert_true(probs[i] == frame->probs[k]);
                has_drawn = true;
            }
        }
        assert_true(has_drawn); /* top-k 50 leaves no more than that */
        (*n_checked)++;
    }
    return true;
}

static void candidates_are_sorted_and_hold_the_one_drawn(void **state)
{
    (void)state;
    size_t n_checked = 0;
    csm_generate_options options = seeded(7, 5);
    options.on_frame = check_candidates;
    options.keep_probs = true;
    options.user = &n_checked;
    csm_result_close(run(&options));
    assert_int_equal(n_checked, 40);
}

static bool stop_at_two(void *user, const csm_frame *frame)
{
    (void)user;
    return frame->index < 2;
}

static void a_cancelled_generation_gives_what_there_is(void **state)
{
    (void)state;
    csm_error err;
    csm_result *result = NULL;
    csm_generate_options options = seeded(7, 5);
    options.on_frame = stop_at_two;
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, text, 0), &options, &result, &err),
                     CSM_CANCELLED);
    assert_int_equal(result->n_frames, 3);
    csm_result_close(result);
}

static void count(void *user, const char *name, size_t frame, size_t at, const float *data,
                  size_t rows, size_t cols)
{
    (void)frame;
    (void)at;
    size_t *n = user;
    assert_true(rows > 0 && cols > 0 && isfinite(data[0]));
    *n += strncmp(name, "backbone.layer", 14) == 0;
}

static void observing_changes_no_token(void **state)
{
    (void)state;
    size_t n = 0;
    csm_generate_options options = seeded(42, 4);
    csm_result *unseen = run(&options);
    options.observe = count;
    options.user = &n;
    csm_result *seen = run(&options);
    assert_int_equal(n, 3 * 4); /* three layers, a prompt and three steps */
    assert_memory_equal(seen->codes, unseen->codes,
                        seen->n_frames * seen->n_codebooks * sizeof *seen->codes);
    csm_result_close(seen);
    csm_result_close(unseen);
}

/* Bytes that malloc has handed out, where the system tells. */
static size_t in_use(void)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void memory_does_not_grow_with_length(void **state)
{
    (void)state;
    csm_error err;
    const csm_frame *frame;
    csm_generation *g = NULL;
    csm_generate_options options = seeded(42, 400);
    options.without_sound = false;
    options.min_frames = 400;
    ok(csm_generation_open(model, &REQUEST(NULL, 0, text, 0), &options, &g, &err), &err);
    size_t at_100 = 0;
    for (size_t f = 0; f < 400; f++) {
        ok(csm_generation_next(g, &frame, &err), &err);
        assert_non_null(frame);
        if (f == 100)
            at_100 = in_use();
    }
    /* What does grow: keys and values, and some 100 bytes a frame: the record of the
     * positions, and a row of attention scores. One frame's sound is 7,680. */
    const csm_transformer_info *t = &csm_model_describe(model)->backbone;
    const size_t a_position = 2 * t->n_layers * t->n_kv_heads * t->head_dim * sizeof(float);
    assert_true(in_use() <= at_100 + 300 * (a_position + 200) + 16 * a_position);
    csm_generation_close(g);
}

static void describing_loads_nothing_and_checks_all(void **state)
{
    (void)state;
    csm_error err;
    csm_model *described = NULL;
    const csm_model_options options = {.size = sizeof(csm_model_options), .describe_only = true};
    ok(csm_model_open(dir, &options, &described, &err), &err);
    const csm_model_info *info = csm_model_describe(described);
    assert_string_equal(info->layout, "hf");
    assert_int_equal(info->n_codebooks, 8);
    assert_int_equal(info->vocab, 1027);
    assert_int_equal(info->backbone.n_layers, 3);
    assert_int_equal(info->depth.head_dim, 16);
    assert_int_equal(info->frame_samples, 1920);
    csm_model_close(described);
}

int main(void)
{
    csm_error err;
    if (csm_model_open(dir, NULL, &model, &err) != CSM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_what_the_loop_collects),
        cmocka_unit_test(two_generations_do_not_know_of_each_other),
        cmocka_unit_test(a_cancelled_one_says_so_from_then_on),
        cmocka_unit_test(a_reader_who_is_slow_loses_nothing),
        cmocka_unit_test(one_that_is_heard_rests_while_another_begins),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(fewer_options_than_there_are_will_do),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(forced_codes_are_the_history),
        cmocka_unit_test(candidates_are_sorted_and_hold_the_one_drawn),
        cmocka_unit_test(a_cancelled_generation_gives_what_there_is),
        cmocka_unit_test(observing_changes_no_token),
        cmocka_unit_test(memory_does_not_grow_with_length),
        cmocka_unit_test(describing_loads_nothing_and_checks_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    csm_model_close(model);
    return failed;
}
