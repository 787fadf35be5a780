/* SPDX-License-Identifier: Apache-2.0
 *
 * Utterances side by side, over the small random model of tests/golden/csm-a: what
 * each of them says alone. */
#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "unit/request.h"

static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";

enum { N = 7, CONTEXT_FRAMES = 9, CODEBOOKS = 8 /* of csm-a */ };

static const csm_utterance utterances[N] = {
    {.text = "Hello.", .speaker = 0, .seed = 11},
    {.text = "How are you today?", .speaker = 1, .seed = 12},
    {.text = "Fine.", .speaker = 0, .seed = 13},
    {.text = "And then some more.", .speaker = 0, .seed = 14},
    {.text = "No.", .speaker = 2, .seed = 15},
    {.text = "Why not?", .speaker = 0, .seed = 11},
    {.text = "Because.", .speaker = 1, .seed = 17},
};

struct fixture {
    csm_model *model;
    int32_t codes[CONTEXT_FRAMES * CODEBOOKS];
    csm_turn context;
    csm_result *results[N];
    size_t n_results, n_wanted; /* on_result says no after n_wanted */
    size_t n_frames[N];         /* that on_frame was told of */
    size_t last_frame;          /* on_frame says no after so many of any utterance */
};

static int open_model(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    csm_error err;
    const csm_model_options options = {.size = sizeof(csm_model_options), .engine = "native", .strategy = CSM_STRATEGY_EXACT};
    if (csm_model_open(model_dir, &options, &f->model, &err) != CSM_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < CONTEXT_FRAMES * CODEBOOKS; i++)
        f->codes[i] = (int32_t)(1 + i * 7 % 1000);
    f->context = (csm_turn){
        .text = "Well.", .speaker = 0, .codes = f->codes, .n_frames = CONTEXT_FRAMES};
    f->n_wanted = N;
    f->last_frame = SIZE_MAX;
    *state = f;
    return 0;
}

static int close_model(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < N; i++)
        csm_result_close(f->results[i]);
    csm_model_close(f->model);
    free(f);
    return 0;
}

static bool on_result(void *user, size_t utterance, csm_result *result)
{
    struct fixture *f = user;
    assert_true(utterance < N);
    assert_null(f->results[utterance]);
    f->results[utterance] = result;
    return ++f->n_results < f->n_wanted || f->n_wanted == N;
}

static bool on_frame(void *user, const csm_frame *frame)
{
    struct fixture *f = user;
    assert_int_equal(frame->index, f->n_frames[frame->utterance]);
    f->n_frames[frame->utterance]++;
    return frame->index < f->last_frame;
}

/* The guard ends some by their length: the others go on without them. */
static csm_generate_options options_for(struct fixture *f)
{
    csm_generate_options options = csm_generate_defaults();
    options.max_frames = 100;
    options.has_guard = true;
    options.on_frame = on_frame;
    options.user = f;
    return options;
}

static void forget(struct fixture *f)
{
    for (size_t i = 0; i < N; i++) {
        csm_result_close(f->results[i]);
        f->results[i] = NULL;
        f->n_frames[i] = 0;
    }
    f->n_results = 0;
}

static void batch(struct fixture *f, size_t n_lanes, const csm_generate_options *options,
                  csm_status expected)
{
    csm_error err = {.text = ""};
    csm_status st = csm_generate_batch(f->model, &f->context, 1, utterances, N, n_lanes, options,
                                       on_result, &err);
    if (st != expected)
        fail_msg("status %d, expected %d: %s", (int)st, (int)expected, err.text);
}

static void check_against_alone(struct fixture *f, csm_result *alone[N])
{
    for (size_t i = 0; i < N; i++) {
        const csm_result *a = f->results[i], *b = alone[i];
        assert_int_equal(a->n_frames, b->n_frames);
        assert_int_equal(a->n_samples, b->n_samples);
        assert_int_equal(a->report->has_ended, b->report->has_ended);
        assert_string_equal(a->report->guarded, b->report->guarded);
        assert_int_equal(a->report->seed, utterances[i].seed);
        assert_int_equal(a->report->n_prompt, b->report->n_prompt);
        assert_memory_equal(a->codes, b->codes, a->n_frames * CODEBOOKS * sizeof *a->codes);
        assert_memory_equal(a->margins, b->margins, a->n_frames * CODEBOOKS * sizeof(float));
        assert_memory_equal(a->samples, b->samples, a->n_samples * sizeof(float));
        assert_int_equal(f->n_frames[i], a->n_frames);
    }
}

static void each_says_what_it_says_alone(void **state)
{
    struct fixture *f = *state;
    csm_result *alone[N];
    csm_generate_options options = options_for(f);
    csm_error err;
    size_t fewest = SIZE_MAX, most = 0;
    for (size_t i = 0; i < N; i++) {
        csm_generate_options one = options;
        one.seed = utterances[i].seed;
        one.on_frame = NULL;
        if (csm_generate(f->model, &REQUEST(&f->context, 1, utterances[i].text, utterances[i].speaker), &one,
                         &alone[i], &err) != CSM_OK)
            fail_msg("%s", err.text);
        fewest = alone[i]->n_frames < fewest ? alone[i]->n_frames : fewest;
        most = alone[i]->n_frames > most ? alone[i]->n_frames : most;
    }
    assert_true(most > fewest); /* so that lanes end while others go on */
    static const size_t lanes[] = {1, 3, 20};
    for (size_t l = 0; l < sizeof lanes / sizeof *lanes; l++) {
        batch(f, lanes[l], &options, CSM_OK);
        assert_int_equal(f->n_results, N);
        check_against_alone(f, alone);
        forget(f);
    }
    for (size_t i = 0; i < N; i++)
        csm_result_close(alone[i]);
}

static void no_context_and_no_utterance_will_do(void **state)
{
    struct fixture *f = *state;
    csm_generate_options options = options_for(f);
    csm_error err;
    options.max_frames = 4;
    options.on_frame = NULL;
    options.without_sound = true;
    assert_int_equal(csm_generate_batch(f->model, NULL, 0, utterances, N, 4, &options, on_result,
                                        &err),
                     CSM_OK);
    assert_int_equal(f->n_results, N);
    assert_null(f->results[0]->samples);
    assert_int_equal(csm_generate_batch(f->model, NULL, 0, NULL, 0, 4, &options, on_result, &err),
                     CSM_OK);
    assert_int_equal(f->n_results, N);
}

static void a_frame_may_end_them_all(void **state)
{
    struct fixture *f = *state;
    csm_generate_options options = options_for(f);
    f->last_frame = 3;
    batch(f, 3, &options, CSM_CANCELLED);
    assert_int_equal(f->n_results, 0);
    assert_int_equal(f->n_frames[0], 4);
}

static void a_result_may_end_them_all(void **state)
{
    struct fixture *f = *state;
    csm_generate_options options = options_for(f);
    f->n_wanted = 2;
    batch(f, 3, &options, CSM_CANCELLED);
    assert_int_equal(f->n_results, 2);
}

static void what_is_wrong_is_told_before_the_first_frame(void **state)
{
    struct fixture *f = *state;
    csm_generate_options options = options_for(f);
    batch(f, 0, &options, CSM_BAD_ARG);
    options.max_frames = 4096; /* csm-a has 2048 positions */
    batch(f, 2, &options, CSM_BAD_ARG);
    options.max_frames = 4;
    csm_utterance wrong[2] = {utterances[0], {.text = "\xff", .speaker = 0, .seed = 1}};
    csm_error err;
    assert_int_equal(csm_generate_batch(f->model, NULL, 0, wrong, 2, 2, &options, on_result, &err),
                     CSM_BAD_ARG);
    assert_int_equal(f->n_frames[0], 0);
    assert_int_equal(f->n_results, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define batch_test(name) cmocka_unit_test_setup_teardown(name, open_model, close_model)
        batch_test(each_says_what_it_says_alone),
        batch_test(no_context_and_no_utterance_will_do),
        batch_test(a_frame_may_end_them_all),
        batch_test(a_result_may_end_them_all),
        batch_test(what_is_wrong_is_told_before_the_first_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
