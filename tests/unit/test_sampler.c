/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <math.h>
#include <string.h>

#include <csm/sampling.h>

#include "sampling/mt19937.h"

static csm_sampler *sampler_of(struct csm_sampler_config config)
{
    csm_sampler *sampler = NULL;
    assert_int_equal(csm_sampler_create(&config, &sampler, NULL), CSM_OK);
    return sampler;
}

static void mt19937_gives_the_published_10000th_output(void **state)
{
    (void)state;
    struct mt19937 g;
    uint32_t word;
    mt19937_seed(&g, 5489); /* ISO C++ [rand.predef] publishes this value */
    mt19937_skip(&g, 9999);
    mt19937_raw(&g, &word, 1);
    assert_int_equal(mt19937_temper(word), 4123659995u);
}

static void bad_logits_are_named_and_move_nothing(void **state)
{
    (void)state;
    float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        float logits[6] = {0.5f, 1.0f, 2.0f, 0.5f, bad[i], 1.0f};
        int32_t tokens[2] = {-7, -7};
        csm_error err;
        csm_sampler *s = sampler_of(csm_sampler_defaults());
        assert_int_equal(csm_sampler_draw(s, logits, 2, 3, tokens, NULL, NULL, &err),
                         CSM_BAD_LOGITS);
        assert_non_null(strstr(err.text, "row 1, index 1"));
        assert_int_equal(tokens[0], -7);
        assert_int_equal(csm_stream_save(csm_sampler_stream(s)).position, 0);
        csm_sampler_destroy(s);
    }
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
    csm_sampler_destroy(s);
}

static void a_saved_stream_goes_on_where_it_was(void **state)
{
    (void)state;
    float first[64], again[64];
    for (int kind = 0; kind < CSM_STREAM_COUNT; kind++) {
        struct csm_stream_state begin = {.kind = (csm_stream_kind)kind, .seed = 42};
        csm_stream *a, *b;
        assert_int_equal(csm_stream_create(&begin, &a, NULL), CSM_OK);
        for (int call = 0; call < 25; call++)
            assert_int_equal(csm_stream_fill(a, CSM_F32, 1, 64, first, NULL), CSM_OK);
        struct csm_stream_state saved = csm_stream_save(a);
        assert_int_equal(csm_stream_create(&saved, &b, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_F32, 1, 64, first, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(b, CSM_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        assert_int_equal(csm_stream_seek(a, saved.position, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        csm_stream_destroy(a);
        csm_stream_destroy(b);
    }
}

static void a_stream_that_follows_another_goes_on_with_it(void **state)
{
    (void)state;
    float first[64], again[64];
    for (int kind = 0; kind < CSM_STREAM_COUNT; kind++) {
        struct csm_stream_state begin = {.kind = (csm_stream_kind)kind, .seed = 42};
        struct csm_stream_state elsewhere = {.kind = (csm_stream_kind)kind, .seed = 7};
        csm_stream *a, *b;
        assert_int_equal(csm_stream_create(&begin, &a, NULL), CSM_OK);
        assert_int_equal(csm_stream_create(&elsewhere, &b, NULL), CSM_OK);
        for (int call = 0; call < 25; call++) {
            assert_int_equal(csm_stream_fill(a, CSM_F32, 1, 64, first, NULL), CSM_OK);
            assert_int_equal(csm_stream_fill(b, CSM_BF16, 2, 8, again, NULL), CSM_OK);
        }
        assert_int_equal(csm_stream_follow(b, a, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(a, CSM_F32, 1, 64, first, NULL), CSM_OK);
        assert_int_equal(csm_stream_fill(b, CSM_F32, 1, 64, again, NULL), CSM_OK);
        assert_memory_equal(first, again, sizeof first);
        assert_true(csm_stream_save(a).position == csm_stream_save(b).position);
        begin.kind = (csm_stream_kind)((kind + 1) % CSM_STREAM_COUNT);
        csm_stream_destroy(b);
        assert_int_equal(csm_stream_create(&begin, &b, NULL), CSM_OK);
        assert_int_equal(csm_stream_follow(b, a, NULL), CSM_BAD_ARG);
        csm_stream_destroy(a);
        csm_stream_destroy(b);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_gives_the_published_10000th_output),
        cmocka_unit_test(bad_logits_are_named_and_move_nothing),
        cmocka_unit_test(top_k_counts_among_few_unmasked_entries),
        cmocka_unit_test(a_saved_stream_goes_on_where_it_was),
        cmocka_unit_test(a_stream_that_follows_another_goes_on_with_it),
        cmocka_unit_test(greedy_takes_the_first_of_equal_ones),
        cmocka_unit_test(a_draw_is_certain_above_twice_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
