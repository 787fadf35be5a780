/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions over the small random model of tests/golden/csm-a. */
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csm/session.h>
#include <csm/voices.h>

#include "unit/request.h"

static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";

struct fixture {
    csm_model *model;
    csm_session *session;
};

static int open_session(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    csm_error err;
    const csm_model_options options = {.size = sizeof(csm_model_options),
                                       .engine = "native",
                                       .strategy = CSM_STRATEGY_EXACT,
                                       .prefix_cache_bytes = 1 << 24};
    if (csm_model_open(model_dir, &options, &f->model, &err) != CSM_OK ||
        csm_session_open(f->model, &f->session, &err) != CSM_OK)
        fail_msg("%s", err.text);
    *state = f;
    return 0;
}

static int close_session(void **state)
{
    struct fixture *f = *state;
    csm_session_close(f->session);
    csm_model_close(f->model);
    free(f);
    return 0;
}

static csm_generate_options few_frames(uint64_t seed)
{
    csm_generate_options options = csm_generate_defaults();
    options.seed = seed;
    options.max_frames = 6;
    return options;
}

static csm_result *say(csm_session *session, const char *text, uint64_t seed, size_t *n_dropped)
{
    const csm_generate_options options = few_frames(seed);
    csm_result *result = NULL;
    csm_error err;
    if (csm_session_say(session, text, 0, &options, &result, n_dropped, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return result;
}

/* A turn of n frames whose codes are some function of `kind`. */
static void add_frames(csm_session *session, size_t n, int kind)
{
    const size_t k = 8; /* codebooks of csm-a */
    int32_t *codes = malloc(n * k * sizeof *codes);
    for (size_t i = 0; i < n * k; i++)
        codes[i] = (int32_t)(1 + (i * 7 + (size_t)kind) % 1000);
    csm_error err;
    const csm_turn turn = {.text = "Well.", .speaker = kind, .codes = codes, .n_frames = n};
    if (csm_session_add(session, &turn, &err) != CSM_OK)
        fail_msg("%s", err.text);
    free(codes);
}

static void the_second_turn_reads_only_what_is_new(void **state)
{
    struct fixture *f = *state;
    csm_result *first = say(f->session, "Hello.", 1, NULL);
    csm_result *second = say(f->session, "How are you?", 2, NULL);
    assert_int_equal(first->report->n_reused, 0);
    /* All positions of the first prompt and all its frames but the last, which was
     * drawn and never fed. */
    assert_int_equal(second->report->n_reused, first->report->n_prompt + first->n_frames - 1);
    csm_result_close(first);
    csm_result_close(second);
}

static void what_is_kept_changes_no_token(void **state)
{
    struct fixture *f = *state;
    csm_result *first = say(f->session, "Hello.", 1, NULL);
    csm_result *second = say(f->session, "How are you?", 2, NULL);
    assert_true(second->report->n_reused > 0);

    struct fixture *fresh;
    open_session((void **)&fresh);
    const csm_turn context = csm_session_turn(f->session, 0);
    const csm_generate_options options = few_frames(2);
    csm_result *expected;
    csm_error err;
    assert_int_equal(csm_generate(fresh->model, &REQUEST(&context, 1, "How are you?", 0), &options, &expected,
                                  &err),
                     CSM_OK);
    assert_int_equal(expected->report->n_reused, 0);
    assert_int_equal(second->n_frames, expected->n_frames);
    assert_memory_equal(second->codes, expected->codes,
                        expected->n_frames * expected->n_codebooks * sizeof *expected->codes);
    csm_result_close(first);
    csm_result_close(second);
    csm_result_close(expected);
    close_session((void **)&fresh);
}

static void another_conversation_on_the_same_model_is_not_confused(void **state)
{
    struct fixture *f = *state;
    csm_session *other;
    csm_error err;
    assert_int_equal(csm_session_open(f->model, &other, &err), CSM_OK);
    csm_result *alone = say(f->session, "Hello.", 1, NULL);
    csm_result *between = say(other, "Something else.", 3, NULL);
    csm_result *again = say(other, "Hello.", 1, NULL);
    assert_true(again->report->n_prompt > alone->report->n_prompt);
    csm_result_close(alone);
    csm_result_close(between);
    csm_result_close(again);
    csm_session_close(other);
}

static void the_oldest_turns_go_whole_when_positions_run_short(void **state)
{
    struct fixture *f = *state;
    add_frames(f->session, 300, 1);
    csm_session_pin(f->session);
    for (int i = 2; i < 7; i++)
        add_frames(f->session, 500, i);
    size_t n_dropped = 99;
    csm_result *result = say(f->session, "Hello.", 1, &n_dropped);
    /* 2048 positions hold the pinned 300 frames and three turns of 500, with their texts. */
    assert_int_equal(n_dropped, 2);
    assert_int_equal(csm_session_count(f->session), 5);
    assert_int_equal(csm_session_turn(f->session, 0).speaker, 1);
    assert_int_equal(csm_session_turn(f->session, 1).speaker, 4);
    assert_string_equal(csm_session_turn(f->session, 4).text, "Hello.");
    csm_result_close(result);
}

static void what_never_fits_is_refused(void **state)
{
    struct fixture *f = *state;
    add_frames(f->session, 2040, 1);
    csm_session_pin(f->session);
    csm_result *result = NULL;
    csm_error err;
    const csm_generate_options options = few_frames(1);
    assert_int_equal(csm_session_say(f->session, "Hello.", 0, &options, &result, NULL, &err),
                     CSM_BAD_ARG);
    assert_null(result);
    assert_int_equal(csm_session_count(f->session), 1);
}

static bool stop_at_two(void *user, const csm_frame *frame)
{
    (void)user;
    return frame->index < 1;
}

static void a_cancelled_turn_is_kept_as_far_as_it_was_spoken(void **state)
{
    struct fixture *f = *state;
    csm_generate_options options = few_frames(1);
    options.on_frame = stop_at_two;
    csm_result *result = NULL;
    csm_error err;
    assert_int_equal(csm_session_say(f->session, "Hello.", 0, &options, &result, NULL, &err),
                     CSM_CANCELLED);
    assert_int_equal(result->n_frames, 2);
    assert_int_equal(csm_session_count(f->session), 1);
    assert_int_equal(csm_session_turn(f->session, 0).n_frames, 2);
    csm_result_close(result);
}

static void a_saved_session_goes_on_as_it_would_have(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/csm-session-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    csm_error err;
    csm_result *first = say(f->session, "Hello.", 1, NULL);
    csm_session_pin(f->session);
    assert_int_equal(csm_session_save(f->session, path, &err), CSM_OK);
    csm_result *expected = say(f->session, "And then?", 2, NULL);

    struct fixture *fresh;
    open_session((void **)&fresh);
    assert_int_equal(csm_session_load(fresh->session, path, &err), CSM_OK);
    csm_result *result = say(fresh->session, "And then?", 2, NULL);
    assert_int_equal(result->n_frames, expected->n_frames);
    assert_memory_equal(result->codes, expected->codes,
                        expected->n_frames * expected->n_codebooks * sizeof *expected->codes);
    csm_result_close(first);
    csm_result_close(expected);
    csm_result_close(result);
    close_session((void **)&fresh);
    unlink(path);
}

static void a_file_that_is_no_session_changes_nothing(void **state)
{
    struct fixture *f = *state;
    add_frames(f->session, 3, 1);
    csm_error err;
    assert_int_equal(csm_session_load(f->session, CSM_SOURCE_DIR "/tests/golden/csm-a/model.safetensors",
                                      &err),
                     CSM_BAD_FORMAT);
    assert_int_equal(csm_session_load(f->session, "/nonexistent", &err), CSM_BAD_FILE);
    assert_int_equal(csm_session_count(f->session), 1);
}

/* It would make every later turn fail, and a saved session, too. */
static void a_turn_of_no_frames_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/csm-session-XXXXXX";
    csm_error err;
    int32_t code = 1;
    csm_turn turn = {.text = "Well.", .codes = &code, .n_frames = 0};
    assert_int_equal(csm_session_add(f->session, &turn, &err), CSM_BAD_ARG);
    assert_int_equal(csm_session_count(f->session), 0);

    const csm_tensor tensors[] = {
        {.name = "turn0.codes", .dtype = CSM_DTYPE_I32, .rank = 2, .shape = {0, 8}, .data = &code}};
    char name[64];
    snprintf(name, sizeof name, "%zu", csm_model_describe(f->model)->n_entries);
    const char *const metadata[] = {"n_turns",     "1",     "n_pinned",       "0", "n_entries", name,
                                    "turn0.text", "Well.", "turn0.speaker", "0"};
    close(mkstemp(path));
    assert_int_equal(csm_tensors_write(path, tensors, 1, metadata, 5, &err), CSM_OK);
    assert_int_equal(csm_session_load(f->session, path, &err), CSM_BAD_FORMAT);
    assert_non_null(strstr(err.text, "no frames"));
    assert_int_equal(csm_session_count(f->session), 0);
    unlink(path);
    csm_result_close(say(f->session, "Hello.", 1, NULL));
}

/* -1 would be taken for a recording, and a saved turn could not be read. */
static void a_speaker_out_of_range_is_refused(void **state)
{
    struct fixture *f = *state;
    const int wrong[] = {-7, -1, 1000001};
    int32_t codes[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const csm_generate_options options = few_frames(1);
    csm_error err;
    csm_result *result = NULL;
    for (size_t i = 0; i < 3; i++) {
        csm_turn turn = {.text = "Well.", .speaker = wrong[i], .codes = codes, .n_frames = 1};
        assert_int_equal(csm_session_add(f->session, &turn, &err), CSM_BAD_ARG);
        assert_int_equal(
            csm_session_say(f->session, "Hi.", wrong[i], &options, &result, NULL, &err),
            CSM_BAD_ARG);
    }
    assert_null(result);
    assert_int_equal(csm_session_count(f->session), 0);
}

static csm_status list_voices_of(const char *dir, const char *json, size_t *n, csm_error *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/voices.json", dir);
    FILE *to = fopen(path, "w");
    fputs(json, to);
    fclose(to);
    csm_model *model = NULL;
    csm_voice *voices = NULL;
    csm_model_options options = csm_model_defaults();
    options.describe_only = true;
    csm_status status = csm_model_open(dir, &options, &model, err);
    if (status == CSM_OK)
        status = csm_voices_list(model, &voices, n, err);
    csm_free(voices);
    csm_model_close(model);
    return status;
}

static void named_speakers_are_numbers_from_0(void **state)
{
    (void)state;
    char dir[] = "/tmp/csm-model-XXXXXX", from[256], to[128];
    assert_non_null(mkdtemp(dir));
    setenv("CSM_VOICES", "/nonexistent", 1);
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/%s", model_dir, files[i]);
        snprintf(to, sizeof to, "%s/%s", dir, files[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    csm_error err;
    size_t n = 0;
    assert_int_equal(list_voices_of(dir, "{\"voices\": [{\"name\": \"anna\", \"speaker\": 3}]}", &n,
                                    &err), CSM_OK);
    assert_int_equal(n, 1);
    static const char *const wrong[] = {"-7", "-1", "4294967295", "1000001", "1.5", "\"1\"",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"voices\": [{\"name\": \"anna\", \"speaker\": %s}]}", wrong[i]);
        assert_int_equal(list_voices_of(dir, json, &n, &err), CSM_BAD_FORMAT);
    }
    assert_int_equal(list_voices_of(dir, "{\"voices\": [\n}", &n, &err), CSM_BAD_FORMAT);
    assert_non_null(strstr(err.text, "voices.json: line 2, column "));
    snprintf(to, sizeof to, "%s/voices.json", dir); /* a pipe that nobody writes */
    unlink(to);
    assert_int_equal(mkfifo(to, 0600), 0);
    csm_model *model = NULL;
    csm_voice *voices = NULL;
    csm_model_options options = csm_model_defaults();
    options.describe_only = true;
    assert_int_equal(csm_model_open(dir, &options, &model, &err), CSM_OK);
    assert_int_equal(csm_voices_list(model, &voices, &n, &err), CSM_BAD_FILE);
    csm_model_close(model);
    unlink(to);
    for (size_t i = 0; i < 3; i++) {
        snprintf(to, sizeof to, "%s/%s", dir, files[i]);
        unlink(to);
    }
    rmdir(dir);
    unsetenv("CSM_VOICES");
}

static void saved_numbers_have_points(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/csm-tokens-XXXXXX";
    csm_error err;
    csm_tensors *file = NULL;
    csm_generate_options options = few_frames(1);
    options.temperature = 0.75;
    csm_result *result = NULL;
    close(mkstemp(path));
    assert_int_equal(csm_session_say(f->session, "Hi.", 0, &options, &result, NULL, &err), CSM_OK);
    assert_int_equal(csm_result_save(result, f->model, "Hi.", 0, path, &err), CSM_OK);
    assert_int_equal(csm_tensors_open(path, &file, &err), CSM_OK);
    assert_string_equal(csm_tensors_metadata(file, "temperature"), "0.75");
    csm_tensors_close(file);
    csm_result_close(result);
    unlink(path);
}

static void a_voice_is_added_found_listed_and_removed(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/csm-voices-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char nested[64];
    snprintf(nested, sizeof nested, "%s/a/b", dir);
    setenv("CSM_VOICES", nested, 1);
    float samples[4000];
    for (size_t i = 0; i < 4000; i++)
        samples[i] = (float)(i % 100) / 200.0f;
    csm_turn turn = {.text = "Ah.", .speaker = 2, .samples = samples, .n_samples = 4000};
    csm_error err;
    csm_voice voice;
    csm_voice *voices;
    size_t n;

    assert_int_equal(csm_voice_find(f->model, "anna", &voice, &err), CSM_BAD_ARG);
    assert_int_equal(csm_voice_add(f->model, "anna", &turn, &err), CSM_OK);
    assert_int_equal(csm_voice_find(f->model, "anna", &voice, &err), CSM_OK);
    assert_int_equal(voice.speaker, -1);
    assert_int_equal(csm_session_load(f->session, voice.path, &err), CSM_OK);
    assert_int_equal(csm_session_turn(f->session, 0).n_frames, 3); /* ceil(4000 / 1920) */
    assert_int_equal(csm_session_turn(f->session, 0).speaker, 2);
    assert_int_equal(csm_voices_list(f->model, &voices, &n, &err), CSM_OK);
    assert_int_equal(n, 1);
    assert_string_equal(voices[0].name, "anna");
    csm_free(voices);

    turn.text = "";
    assert_int_equal(csm_voice_add(f->model, "bob", &turn, &err), CSM_BAD_ARG);
    assert_int_equal(csm_voice_add(f->model, "../bob", &turn, &err), CSM_BAD_ARG);
    assert_int_equal(csm_voice_remove("anna", &err), CSM_OK);
    assert_int_equal(csm_voice_remove("anna", &err), CSM_BAD_ARG);
    rmdir(nested);
    snprintf(nested, sizeof nested, "%s/a", dir);
    rmdir(nested);
    rmdir(dir);
    unsetenv("CSM_VOICES");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define session_test(name) cmocka_unit_test_setup_teardown(name, open_session, close_session)
        session_test(the_second_turn_reads_only_what_is_new),
        session_test(what_is_kept_changes_no_token),
        session_test(another_conversation_on_the_same_model_is_not_confused),
        session_test(the_oldest_turns_go_whole_when_positions_run_short),
        session_test(what_never_fits_is_refused),
        session_test(a_cancelled_turn_is_kept_as_far_as_it_was_spoken),
        session_test(a_saved_session_goes_on_as_it_would_have),
        session_test(a_file_that_is_no_session_changes_nothing),
        session_test(a_turn_of_no_frames_is_refused),
        session_test(a_speaker_out_of_range_is_refused),
        session_test(named_speakers_are_numbers_from_0),
        session_test(saved_numbers_have_points),
        session_test(a_voice_is_added_found_listed_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
