/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/audio.h>
#include <csm/tensors.h>

#include "unit/scratch.h"

enum { RATE = 24000 };

static float *tone(size_t n, double hz, int rate_hz)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(0.5 * sin(2 * 3.14159265358979 * hz * (double)i / rate_hz));
    return x;
}

static void the_sinc_resampler_equals_torchaudio(void **state)
{
    (void)state;
    csm_tensors *golden;
    csm_error err;
    assert_int_equal(csm_tensors_open(CSM_SOURCE_DIR "/tests/golden/resample/resample.safetensors",
                                      &golden, &err),
                     CSM_OK);
    static const int rates[] = {8000, 16000, 22050, 32000, 44100, 48000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        char name[64];
        snprintf(name, sizeof name, "in.%d_i16", rates[r]);
        const csm_tensor *in = csm_tensors_find(golden, name);
        snprintf(name, sizeof name, "out.%d", rates[r]);
        const csm_tensor *expected = csm_tensors_find(golden, name);
        assert_non_null(in);
        assert_non_null(expected);
        const size_t n_in = in->shape[0];
        float *x = malloc(n_in * sizeof *x), *out;
        for (size_t i = 0; i < n_in; i++)
            x[i] = ((const int16_t *)in->data)[i] / 32768.0f;
        size_t n;
        assert_int_equal(csm_audio_resample(CSM_RESAMPLER_TORCHAUDIO, x, n_in, rates[r], RATE, &out,
                                            &n, &err),
                         CSM_OK);
        assert_int_equal(n, expected->n_bytes / 4);
        /* torchaudio makes its kernel in float32: 3.3e-6 off this one at worst. */
        for (size_t i = 0; i < n; i++)
            assert_float_equal(out[i], ((const float *)expected->data)[i], 1e-5);
        free(out);
        free(x);
    }
    csm_tensors_close(golden);
}

/* Largest difference to a tone, edges aside. */
static double off_tone(const float *x, size_t n, double hz, int rate_hz)
{
    float *ideal = tone(n, hz, rate_hz);
    double worst = 0;
    for (size_t i = 500; i + 500 < n; i++) { /* not fmax: GCC 12.2 for arm64 fails on that loop */
        double off = fabs((double)x[i] - (double)ideal[i]);
        worst = off > worst ? off : worst;
    }
    free(ideal);
    return worst;
}

static void a_tone_stays_a_tone_at_odd_rates(void **state)
{
    (void)state;
    static const int rates[] = {8000, 11025, 44100, 44101, 48000, 96000, 192000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (csm_resampler k = CSM_RESAMPLER_SOXR; k <= CSM_RESAMPLER_TORCHAUDIO; k++) {
            csm_error err;
            const size_t n_in = (size_t)rates[r];
            float *in = tone(n_in, 440, rates[r]), *out;
            size_t n;
            assert_int_equal(csm_audio_resample(k, in, n_in, rates[r], RATE, &out, &n, &err),
                             CSM_OK);
            assert_int_equal(n, RATE);
            /* soxr's 20 bits leave 1e-6; the narrow window of torchaudio lets 0.2 % of a tone's
             * level through. */
            assert_true(off_tone(out, n, 440, RATE) < (k == CSM_RESAMPLER_SOXR ? 1e-4 : 2e-3));
            free(out);
            free(in);
        }
}

static void equal_rates_copy_and_rates_out_of_range_are_refused(void **state)
{
    (void)state;
    const float x[3] = {0.25f, -0.5f, 1.5f};
    float *out = NULL;
    size_t n = 7;
    csm_error err;
    assert_int_equal(csm_audio_resample(CSM_RESAMPLER_SOXR, x, 3, RATE, RATE, &out, &n, &err),
                     CSM_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(out, x, sizeof x);
    free(out);
    assert_int_equal(csm_audio_resample(CSM_RESAMPLER_SOXR, x, 3, 0, RATE, &out, &n, &err),
                     CSM_BAD_ARG);
    assert_int_equal(csm_audio_resample(CSM_RESAMPLER_SOXR, x, 3, RATE, 1 << 30, &out, &n, &err),
                     CSM_BAD_ARG);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const float x[6] = {0, 0.5f, -0.5f, 1.0f, -1.0f, 1.0f / 32768};
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    float *back;
    size_t n;
    for (csm_audio_format format = CSM_AUDIO_FORMAT_WAV; format <= CSM_AUDIO_FORMAT_WAV_F32; format++) {
        scratch_path(path, "x.wav");
        assert_int_equal(csm_audio_write(path, format, x, 6, RATE, NULL, &err), CSM_OK);
        assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &back, &n, &err), CSM_OK);
        assert_int_equal(n, 6);
        for (size_t i = 0; i < 6; i++) /* 1.0 is one step beyond the largest integer */
            assert_float_equal(back[i], x[i], format == CSM_AUDIO_FORMAT_WAV ? 1.0f / 32768 : 0);
        free(back);
    }
}

static void integers_are_rounded_and_clipped(void **state)
{
    (void)state;
    const float x[5] = {2.0f, -2.0f, NAN, 0.6f / 32768, INFINITY};
    const int16_t expected[5] = {32767, -32768, 0, 1, 32767};
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    scratch_path(path, "x.raw");
    assert_int_equal(csm_audio_write(path, CSM_AUDIO_FORMAT_S16LE, x, 5, RATE, NULL, &err), CSM_OK);
    FILE *f = fopen(path, "rb");
    int16_t found[6];
    assert_int_equal(fread(found, 2, 6, f), 5);
    fclose(f);
    assert_memory_equal(found, expected, sizeof expected);
}

static void a_file_written_piece_by_piece_has_right_sizes(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    csm_audio_writer *w;
    float *x = tone(5000, 440, RATE), *back;
    size_t n;
    scratch_path(path, "pieces.wav");
    assert_int_equal(csm_audio_writer_open(path, CSM_AUDIO_FORMAT_WAV, RATE, NULL, &w, &err), CSM_OK);
    assert_int_equal(access(path, F_OK), -1); /* not before it is complete */
    assert_int_equal(csm_audio_writer_push(w, x, 1920, &err), CSM_OK);
    assert_int_equal(csm_audio_writer_push(w, x + 1920, 3080, &err), CSM_OK);
    assert_int_equal(csm_audio_writer_commit(w, &err), CSM_OK);
    FILE *f = fopen(path, "rb");
    unsigned char header[44];
    assert_int_equal(fread(header, 1, 44, f), 44);
    fclose(f);
    assert_memory_equal(header + 40, "\x10\x27\0\0", 4); /* 10000 bytes */
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &back, &n, &err), CSM_OK);
    assert_int_equal(n, 5000);
    free(back);
    free(x);
}

static void given_up_or_failed_files_leave_nothing(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    csm_audio_writer *w;
    const float x[2] = {0, 0};
    scratch_path(path, "none.wav");
    assert_int_equal(csm_audio_writer_open(path, CSM_AUDIO_FORMAT_WAV, RATE, NULL, &w, &err), CSM_OK);
    assert_int_equal(csm_audio_writer_push(w, x, 2, &err), CSM_OK);
    csm_audio_writer_discard(w);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(csm_audio_write("/dev/full", CSM_AUDIO_FORMAT_WAV, x, 2, RATE, NULL, &err), CSM_BAD_FILE);
    assert_int_equal(csm_audio_write("/dev/null/x.wav", CSM_AUDIO_FORMAT_WAV, x, 2, RATE, NULL, &err),
                     CSM_BAD_FILE);
    assert_int_equal(csm_audio_write(path, CSM_AUDIO_FORMAT_WAV, x, 2, 0, NULL, &err), CSM_BAD_ARG);
}

static void channels_are_averaged(void **state)
{
    (void)state;
    static const char stereo[] = "RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\2\0\xc0\x5d\0\0\0\x77\1\0"
                                 "\4\0\x10\0data\x08\0\0\0"
                                 "\0\x40\0\0\0\xc0\0\x40";
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    float *x;
    size_t n;
    scratch_path(path, "stereo.wav");
    scratch_write(path, stereo, sizeof stereo - 1);
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_OK);
    assert_int_equal(n, 2);
    assert_true(x[0] == 0.25f && x[1] == 0.0f);
    free(x);
}

static void what_is_no_sound_is_refused(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    float *x = NULL;
    size_t n;
    scratch_path(path, "bad.wav");
    scratch_write(path, "hello", 5);
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FORMAT);
    scratch_write(path, "", 0);
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FORMAT);
    const float nan = NAN;
    assert_int_equal(csm_audio_write(path, CSM_AUDIO_FORMAT_WAV_F32, &nan, 1, RATE, NULL, &err), CSM_OK);
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FORMAT);
    assert_non_null(strstr(err.text, "sample 0 is not finite"));
    assert_int_equal(csm_audio_write(path, CSM_AUDIO_FORMAT_WAV, &nan, 0, RATE, NULL, &err), CSM_OK);
    assert_int_equal(csm_audio_read(path, RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FORMAT);
    assert_int_equal(csm_audio_read("/tmp", RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FILE);
    assert_int_equal(csm_audio_read("/no/x", RATE, CSM_RESAMPLER_SOXR, &x, &n, &err), CSM_BAD_FILE);
    assert_null(x);
}

static void a_longer_sound_than_asked_for_is_refused_where_it_passes_that(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    csm_error err;
    float *x = NULL;
    size_t n;
    static float silence[5001];
    scratch_path(path, "long.wav");
    const csm_resampler soxr = CSM_RESAMPLER_SOXR;
    assert_int_equal(csm_audio_write(path, CSM_AUDIO_FORMAT_WAV, silence, 5001, 100, NULL, &err), CSM_OK);
    assert_int_equal(csm_audio_read_within(path, RATE, soxr, 50.0, &x, &n, &err), CSM_BAD_FORMAT);
    assert_non_null(strstr(err.text, "longer than the 50 s it may be"));
    assert_null(x);
    assert_int_equal(csm_audio_read_within(path, RATE, soxr, 50.01, &x, &n, &err), CSM_OK);
    assert_int_equal(n, 5001 * (RATE / 100));
    free(x);
}

/* 10 ms of 24 kHz are 240 samples: the last is 0, the one before 1/240. */
static void a_joint_gives_all_but_10_ms_and_fades_its_end(void **state)
{
    (void)state;
    csm_error err;
    csm_joint *joint = NULL;
    float ramp[500];
    for (size_t i = 0; i < 500; i++)
        ramp[i] = (float)(i + 1);
    const float *out;
    size_t n;
    assert_int_equal(csm_joint_open(0, &joint, &err), CSM_BAD_ARG);
    assert_int_equal(csm_joint_open(RATE, &joint, &err), CSM_OK);
    assert_int_equal(csm_joint_push(joint, ramp, 100, &out, &n, &err), CSM_OK); /* all of it held */
    assert_int_equal(n, 0);
    assert_int_equal(csm_joint_push(joint, ramp + 100, 200, &out, &n, &err), CSM_OK);
    assert_int_equal(n, 60);
    assert_memory_equal(out, ramp, 60 * sizeof *ramp);
    assert_int_equal(csm_joint_push(joint, ramp + 300, 200, &out, &n, &err), CSM_OK);
    assert_int_equal(n, 200);
    assert_memory_equal(out, ramp + 60, 200 * sizeof *ramp);
    assert_int_equal(csm_joint_pause(joint, 5, &out, &n, &err), CSM_OK);
    assert_int_equal(n, 240 + 120);
    for (size_t i = 0; i < n; i++)
        assert_true(out[i] == (i < 240 ? ramp[260 + i] * ((float)(239 - i) / 240.0f) : 0.0f));
    assert_int_equal(csm_joint_pause(joint, 1, &out, &n, &err), CSM_OK);
    assert_int_equal(n, 24);
    assert_true(out[0] == 0.0f && out[23] == 0.0f);
    csm_joint_close(joint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sinc_resampler_equals_torchaudio),
        cmocka_unit_test(a_tone_stays_a_tone_at_odd_rates),
        cmocka_unit_test(equal_rates_copy_and_rates_out_of_range_are_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(integers_are_rounded_and_clipped),
        cmocka_unit_test(a_file_written_piece_by_piece_has_right_sizes),
        cmocka_unit_test(given_up_or_failed_files_leave_nothing),
        cmocka_unit_test(channels_are_averaged),
        cmocka_unit_test(a_joint_gives_all_but_10_ms_and_fades_its_end),
        cmocka_unit_test(what_is_no_sound_is_refused),
        cmocka_unit_test(a_longer_sound_than_asked_for_is_refused_where_it_passes_that),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
