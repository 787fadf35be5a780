/* SPDX-License-Identifier: Apache-2.0
 *
 * Who rests while another waits for its first frame: as much sound as a reader has, no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "generate/model.h"
#include "generate/pace.h"

/* Whether one who has been given n_sound frames, the first of them ms ago, has a frame drawn
 * though another has had none yet. A frame of one takes 1 ms, and rests are of 40 ms at least. */
static bool is_drawn(size_t n_sound, double ms, bool is_live)
{
    struct csm_model model = {.info = {.frame_ms = 80}};
    csm_generation newcomer = {.prompt = {.n = 9}};
    csm_generation speaker = {.is_started = true,
                              .has_room = true,
                              .n_drawn = n_sound,
                              .n_sound = n_sound,
                              .heard_from_ms = csm_now_ms() - ms,
                              .settings = {.is_live = is_live}};
    csm_generation *lanes[] = {&speaker, &newcomer};
    struct csm_scheduler s = {.model = &model, .lanes = lanes, .n_lanes = 2, .draw_ms = 1};
    csm_pace_let_rest(&s);
    return speaker.has_room;
}

/* A player of pieces of 80 ms begins with the second frame: it may keep one back. */
static void one_frame_is_no_reserve(void **state)
{
    (void)state;
    assert_true(is_drawn(1, 0, true));
    assert_true(is_drawn(2, 60, true));
    assert_false(is_drawn(3, 60, true)); /* 160 - 60 ms are left */
    assert_true(is_drawn(3, 125, true));
}

static void who_only_collects_never_rests(void **state)
{
    (void)state;
    assert_true(is_drawn(100, 0, false));
}

/* Who has had its last frame drawn, and waits for its sound, is no newcomer. */
static void nobody_rests_for_one_that_is_done(void **state)
{
    (void)state;
    struct csm_model model = {.info = {.frame_ms = 80}};
    csm_generation done = {.is_started = true, .is_waiting = true, .is_done = true, .n_drawn = 9, .n_sound = 9};
    csm_generation speaker = {.is_started = true,
                              .has_room = true,
                              .n_drawn = 9,
                              .n_sound = 9,
                              .heard_from_ms = csm_now_ms(),
                              .settings = {.is_live = true}};
    csm_generation *lanes[] = {&speaker, &done};
    struct csm_scheduler s = {.model = &model, .lanes = lanes, .n_lanes = 2, .n_waiting = 1, .draw_ms = 1};
    csm_pace_let_rest(&s);
    assert_true(speaker.has_room);
    assert_true(s.slack_ms == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_frame_is_no_reserve),
        cmocka_unit_test(who_only_collects_never_rests),
        cmocka_unit_test(nobody_rests_for_one_that_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
