/* SPDX-License-Identifier: Apache-2.0
 *
 * Remarks and default lengths, over the small random model of tests/golden/csm-a. */
#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <math.h>
#include <string.h>

#include <csm/remarks.h>

static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static float sound[48000];

static int open_model(void **state)
{
    csm_error err;
    csm_model *model = NULL;
    csm_model_options options = csm_model_defaults();
    options.engine = "native";
    if (csm_model_open(model_dir, &options, &model, &err) != CSM_OK)
        fail_msg("%s", err.text);
    *state = model;
    return 0;
}

static int close_model(void **state)
{
    csm_model_close(*state);
    return 0;
}

/* A square wave, whose root mean square is its height, in one 80 ms of silence. */
static void one_loud_frame(float height)
{
    memset(sound, 0, sizeof sound);
    for (size_t i = 1920; i < 3840; i++)
        sound[i] = i % 2 == 0 ? height : -height;
}

static void a_recording_is_silent_below_60_db_where_it_is_loudest(void **state)
{
    (void)state;
    csm_remark remark;
    one_loud_frame(0.00101f); /* -59.9 dB */
    assert_false(csm_remark_recording("x.wav", sound, 48000, 24000, &remark));
    one_loud_frame(0.00099f); /* -60.1 dB */
    assert_true(csm_remark_recording("x.wav", sound, 48000, 24000, &remark));
    assert_string_equal(remark.code, "silent-recording");
    assert_non_null(strstr(remark.text, "x.wav: "));
    assert_non_null(strstr(remark.text, "-60 dB"));
    one_loud_frame(0.0f);
    assert_true(csm_remark_recording("x.wav", sound, 48000, 24000, &remark));
    assert_non_null(strstr(remark.text, "is silent: ")); /* no level of nothing */
}

static void a_recording_is_short_below_a_frame(void **state)
{
    (void)state;
    csm_remark remark;
    for (size_t i = 0; i < 48000; i++)
        sound[i] = i % 2 == 0 ? 0.5f : -0.5f; /* one value alone is silence */
    assert_false(csm_remark_recording("x", sound, 1920, 24000, &remark));
    assert_true(csm_remark_recording("x", sound, 1919, 24000, &remark));
    assert_string_equal(remark.code, "short-recording");
    assert_true(csm_remark_recording("x", sound, 639, 8000, &remark));
    assert_false(csm_remark_recording("x", sound, 640, 8000, &remark));
    assert_true(csm_remark_recording("x", sound, 0, 24000, &remark));
}

/* A sine; cut off at 1. */
static void a_tone(float height)
{
    for (size_t i = 0; i < 48000; i++) {
        const float x = height * sinf(0.05f * (float)i);
        sound[i] = x > 1 ? 1 : x < -1 ? -1 : x;
    }
}

static void a_recording_is_clipped_where_many_samples_are_at_full_scale(void **state)
{
    (void)state;
    csm_remark remark;
    a_tone(1); /* 2.9 % of them */
    assert_false(csm_remark_clipping("x.wav", sound, 48000, &remark));
    a_tone(1.01f); /* 9 % */
    assert_true(csm_remark_clipping("x.wav", sound, 48000, &remark));
    assert_string_equal(remark.code, "clipped-recording");
    assert_non_null(strstr(remark.text, "x.wav: 9 % of"));
    sound[0] = 1.6f; /* floats that go on beyond 1 are loud, not cut off */
    assert_false(csm_remark_clipping("x.wav", sound, 48000, &remark));
    one_loud_frame(1); /* 4 % */
    assert_true(csm_remark_clipping("x.wav", sound, 48000, &remark));
    sound[1920] = 0;
    assert_false(csm_remark_clipping("x.wav", sound, 48000, &remark));
    assert_false(csm_remark_clipping("x.wav", sound, 0, &remark));
}

static void what_a_model_thought_is_left_out_and_told(void **state)
{
    (void)state;
    static const char *const texts[] = {"<think>Hm.</think>Yes.", "Well. <THINKING>a\nb</Thinking>",
                                        "<think>a <thinking>b</thinking>"};
    static const char *const others[] = {"", "Use the <think> tag.", "</think>Yes.", "I think so.",
                                         "<thinker>Yes.</thinker>", "</think> <think>",
                                         "Put it between `<think>` and `</think>` tags."};
    csm_remark remark;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(csm_remark_thoughts(texts[i], &remark));
        assert_string_equal(remark.code, "unspoken-thoughts");
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(csm_remark_thoughts(others[i], &remark));
}

static void a_speaker_is_one_of_the_context(void **state)
{
    const csm_turn turns[] = {{.speaker = 3}, {.speaker = 1}, {.speaker = 3}};
    csm_remark remark;
    assert_false(csm_remark_speaker(*state, 7, NULL, 0, &remark)); /* csm-a names none */
    assert_false(csm_speaker_is_named(*state, 0));
    assert_false(csm_remark_speaker(*state, 1, turns, 3, &remark));
    assert_true(csm_remark_speaker(*state, 0, turns, 3, &remark));
    assert_string_equal(remark.code, "other-speaker");
    assert_non_null(strstr(remark.text, "speaker 3, 1)"));
}

static void an_ending_is_told_once(void **state)
{
    (void)state;
    csm_remark remarks[CSM_ENDING_REMARKS];
    csm_report report = {.n_frames = 5, .has_ended = true, .guarded = ""};
    assert_int_equal(csm_remark_ending(&report, 80.0, remarks), 0);
    report.has_ended = false;
    assert_int_equal(csm_remark_ending(&report, 80.0, remarks), 1);
    assert_string_equal(remarks[0].code, "cut");
    assert_non_null(strstr(remarks[0].text, "0.40 s")); /* a point in every locale */
    report.guarded = "a loop";
    assert_int_equal(csm_remark_ending(&report, 80.0, remarks), 1);
    assert_string_equal(remarks[0].code, "guarded");
    report.n_frames = 0;
    report.has_ended = true;
    strcpy(report.fallback, "torch failed");
    assert_int_equal(csm_remark_ending(&report, 80.0, remarks), 2);
    assert_string_equal(remarks[0].code, "fallback");
    assert_string_equal(remarks[1].code, "no-sound");
}

static void the_limit_follows_the_text_and_the_room(void **state)
{
    const csm_model_info *info = csm_model_describe(*state);
    char text[101] = "";
    assert_int_equal(csm_frames_for_text(*state, NULL, 0, "", 0), 125);
    assert_int_equal(csm_frames_for_text(*state, NULL, 0, NULL, 0), 125);
    assert_int_equal(csm_frames_for_text(*state, NULL, 0, "0123456789", 0), 125);
    memset(text, 'a', 100);
    assert_int_equal(csm_frames_for_text(*state, NULL, 0, text, 0), 350); /* 100 + 2.5 * 100 */
    for (size_t i = 0; i < 100; i += 2)
        memcpy(text + i, "\xc3\xa9", 2); /* 50 letters */
    assert_int_equal(csm_frames_for_text(*state, NULL, 0, text, 0), 225);

    /* A turn that leaves 200 positions: its text, its frames and their end, and the text. */
    int32_t *ids;
    size_t n_text, n_turn;
    assert_int_equal(csm_model_tokenize(*state, text, 0, &ids, &n_text, NULL), CSM_OK);
    csm_free(ids);
    assert_int_equal(csm_model_tokenize(*state, "Well.", 0, &ids, &n_turn, NULL), CSM_OK);
    csm_free(ids);
    csm_turn turn = {.text = "Well.", .n_samples = 1};
    turn.n_samples = (info->max_positions - 200 - n_text - n_turn - 1) * info->frame_samples;
    assert_int_equal(csm_frames_for_text(*state, &turn, 1, text, 0), 200);
    turn.n_samples += 190 * info->frame_samples; /* that is told where it is spoken */
    assert_int_equal(csm_frames_for_text(*state, &turn, 1, text, 0), 125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_is_silent_below_60_db_where_it_is_loudest),
        cmocka_unit_test(a_recording_is_short_below_a_frame),
        cmocka_unit_test(a_recording_is_clipped_where_many_samples_are_at_full_scale),
        cmocka_unit_test(what_a_model_thought_is_left_out_and_told),
        cmocka_unit_test(a_speaker_is_one_of_the_context),
        cmocka_unit_test(an_ending_is_told_once),
        cmocka_unit_test(the_limit_follows_the_text_and_the_room),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
