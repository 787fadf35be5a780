/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include "generate/guard.h"

static const float loud[4] = {0.5f, -0.5f, 0.5f, -0.5f};
static const float quiet[4] = {0.001f, -0.001f, 0.0f, 0.0f};

/* A stretch of codes that never repeats within the guard's reach. */
static int32_t fresh(size_t i)
{
    return (int32_t)(i * 2654435761u >> 7 & 0x7ff);
}

static void speech_is_left_alone(void **state)
{
    (void)state;
    struct csm_guard g = {.n_text = 150};
    for (size_t i = 0; i < 250; i++) /* 20 s, with a pause of a second here and there */
        assert_null(csm_guard_watch(&g, fresh(i), i % 50 < 12 ? quiet : loud, 4));
}

static void a_loop_of_any_period_is_noticed(void **state)
{
    (void)state;
    for (size_t period = 1; period <= 16; period++) {
        struct csm_guard g = {.n_text = 1000};
        const char *why = NULL;
        for (size_t i = 0; i < 20; i++)
            assert_null(csm_guard_watch(&g, fresh(i), loud, 4));
        size_t n = 0;
        while (why == NULL && n < 100)
            why = csm_guard_watch(&g, fresh(1000 + n++ % period), loud, 4);
        assert_string_equal(why, "a loop");
        assert_int_equal(n, 48 + period);
    }
}

static void silence_is_waited_out_longer_before_speech(void **state)
{
    (void)state;
    for (int has_spoken = 0; has_spoken < 2; has_spoken++) {
        struct csm_guard g = {.n_text = 1000};
        if (has_spoken)
            assert_null(csm_guard_watch(&g, 1, loud, 4));
        size_t n = 0;
        const char *why = NULL;
        while (why == NULL && n < 100) {
            why = csm_guard_watch(&g, fresh(n), quiet, 4);
            n++;
        }
        assert_string_equal(why, "silence");
        assert_int_equal(n, has_spoken ? 25 : 63);
    }
}

static void a_length_out_of_proportion_is_noticed(void **state)
{
    (void)state;
    struct csm_guard g = {.n_text = 10};
    size_t n = 0;
    const char *why = NULL;
    while (why == NULL && n < 1000) {
        why = csm_guard_watch(&g, fresh(n), NULL, 0);
        n++;
    }
    assert_string_equal(why, "longer than its text");
    assert_int_equal(n, 75 + 25 + 1); /* 6 s, and two for ten bytes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speech_is_left_alone),
        cmocka_unit_test(a_loop_of_any_period_is_noticed),
        cmocka_unit_test(silence_is_waited_out_longer_before_speech),
        cmocka_unit_test(a_length_out_of_proportion_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
