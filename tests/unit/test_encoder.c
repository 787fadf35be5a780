/* SPDX-License-Identifier: Apache-2.0
 *
 * Each format is read back by libsndfile (aac by the headers of its frames), from memory:
 * with a target that can be rewritten, as a file, and one that cannot, as a socket. */
#define _GNU_SOURCE /* memmem */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sndfile.h>

#include <csm/audio.h>
#include <csm/credentials.h>
#include <csm/csm.h>

#include "audio/audio_read.h"

/* The formats of this build; AAC, the last, is there where libavcodec is. */
#ifdef CSM_HAS_AAC
enum { N_FORMATS = CSM_AUDIO_FORMAT_COUNT };
#else
enum { N_FORMATS = CSM_AUDIO_FORMAT_AAC };
#endif

enum { RATE = 24000, FRAME = 1920 };

/* Bytes as they come. */
struct bytes {
    unsigned char *data;
    size_t n, capacity;
    size_t fail_at; /* the call that fails, counted from 1; 0: none */
    size_t n_calls;
};

static csm_status append(void *user, const void *data, size_t n, csm_error *err)
{
    struct bytes *b = user;
    assert_true(n > 0);
    if (++b->n_calls == b->fail_at) {
        snprintf(err->text, sizeof err->text, "the line is dead");
        return CSM_CANCELLED;
    }
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n);
        b->data = realloc(b->data, b->capacity);
        assert_non_null(b->data);
    }
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return CSM_OK;
}

static csm_status overwrite(void *user, uint64_t offset, const void *data, size_t n, csm_error *err)
{
    struct bytes *b = user;
    (void)err;
    assert_true(offset + n <= b->n);
    memcpy(b->data + offset, data, n);
    return CSM_OK;
}

/* A voice-like sound: two partials that swell. */
static void make_sound(float *x, size_t n, int rate_hz)
{
    const double pi = 3.14159265358979;
    for (size_t i = 0; i < n; i++) {
        const double t = (double)i / rate_hz;
        x[i] = (float)((0.3 * sin(2 * pi * 220 * t) + 0.2 * sin(2 * pi * 660 * t)) *
                       (0.6 + 0.4 * sin(2 * pi * 3 * t)));
    }
}

/* The sound, encoded; pieces of `piece` samples. */
static struct bytes encode(csm_audio_format format, int rate_hz, const csm_audio_options *options,
                           bool can_rewrite, const float *x, size_t n, size_t piece)
{
    struct bytes out = {0};
    csm_error err;
    csm_encoder *e = NULL;
    const csm_encoder_target target = {append, can_rewrite ? overwrite : NULL, &out};
    const csm_status opened = csm_encoder_open(format, rate_hz, options, &target, &e, &err);
    if (opened != CSM_OK)
        fail_msg("%s at %d: %s", csm_audio_format_name(format), rate_hz, err.text);
    for (size_t at = 0; at < n; at += piece)
        assert_int_equal(csm_encoder_push(e, x + at, n - at < piece ? n - at : piece, &err),
                         CSM_OK);
    assert_int_equal(csm_encoder_finish(e, &err), CSM_OK);
    csm_encoder_close(e);
    return out;
}

/* Samples of an ADTS stream: 1024 a frame. */
static size_t count_adts(const struct bytes *b, size_t *n_whole)
{
    size_t n = 0, at = 0;
    while (at + 7 <= b->n) {
        assert_int_equal(b->data[at] << 4 | b->data[at + 1] >> 4, 0xfff);
        const size_t length = (size_t)(b->data[at + 3] & 3) << 11 | (size_t)b->data[at + 4] << 3 |
                              b->data[at + 5] >> 5;
        assert_true(length > 7);
        if (at + length > b->n)
            break;
        at += length;
        n += 1024;
    }
    *n_whole = at;
    return n;
}

static size_t decode(const struct bytes *b, float **samples, int *rate_hz)
{
    size_t n = 0;
    csm_error err;
    if (csm_audio_decode("sound", b->data, b->n, HUGE_VAL, samples, &n, rate_hz, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return n;
}

static bool is_bare(csm_audio_format f)
{
    return f == CSM_AUDIO_FORMAT_S16LE || f == CSM_AUDIO_FORMAT_F32LE ||
           f == CSM_AUDIO_FORMAT_ULAW || f == CSM_AUDIO_FORMAT_ALAW;
}

static double snr(const float *x, const float *y, size_t n)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        signal += (double)x[i] * x[i];
        noise += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    }
    return 10 * log10(signal / (noise + 1e-30));
}

/* What each format keeps of the sound: integers of 16 bits 6 dB a bit below full scale, G.711
 * some 37 dB by its design. A lag of one sample would leave less than 20 dB of any. LAME lowers
 * the level to 0.95, which by itself is 26 dB. */
static double least_snr(csm_audio_format f)
{
    switch (f) {
    case CSM_AUDIO_FORMAT_WAV_F32:
        return 250;
    case CSM_AUDIO_FORMAT_WAV:
    case CSM_AUDIO_FORMAT_FLAC:
        return 80;
    case CSM_AUDIO_FORMAT_MP3:
        return 25;
    default:
        return 33;
    }
}

static void check_read_back(csm_audio_format f, int rate_hz, const float *x, size_t n_x)
{
    struct bytes b = encode(f, rate_hz, NULL, true, x, n_x, 700);
    float *y = NULL;
    int found_hz;
    const size_t n = decode(&b, &y, &found_hz);
    if (f == CSM_AUDIO_FORMAT_OPUS &&
        found_hz != rate_hz) { /* which has five rates: 22,050 and 44,100
                                * come back as 24,000 and 48,000 */
        const double exact = (double)n_x * found_hz / rate_hz;
        assert_true(fabs((double)n - exact) <= 1);
    } else {
        assert_int_equal(found_hz, rate_hz);
        assert_int_equal(n, n_x);
        if (n_x > 2000 && snr(x, y, n_x) < least_snr(f))
            fail_msg("%s, %d Hz: %g dB", csm_audio_format_name(f), rate_hz, snr(x, y, n_x));
    }
    free(y);
    free(b.data);
}

static void what_is_written_is_read_back_to_the_sample(void **state)
{
    (void)state;
    static const int rates[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
    static const size_t lengths[] = {1, 1151, FRAME, 30011};
    static float x[30011];
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int f = 0; f < N_FORMATS; f++)
                if (!is_bare((csm_audio_format)f) && f != CSM_AUDIO_FORMAT_AAC) {
                    make_sound(x, lengths[l], rates[r]);
                    check_read_back((csm_audio_format)f, rates[r], x, lengths[l]);
                }
}

/* ADTS cannot say a length: whole frames, of which the first is the coder's delay. */
static void aac_is_frames_of_1024_samples(void **state)
{
    (void)state;
#ifndef CSM_HAS_AAC
    skip();
#endif
    static float x[30011];
    make_sound(x, 30011, RATE);
    static const size_t lengths[] = {1, 1024, 30011};
    for (size_t l = 0; l < 3; l++) {
        struct bytes b = encode(CSM_AUDIO_FORMAT_AAC, RATE, NULL, true, x, lengths[l], 700);
        size_t n_whole;
        assert_int_equal(count_adts(&b, &n_whole), 1024 * ((lengths[l] + 1023) / 1024 + 1));
        assert_int_equal(n_whole, b.n);
        free(b.data);
    }
}

/* Samples that a player can give of what is there. */
static size_t count_playable(csm_audio_format f, const struct bytes *b, size_t width)
{
    size_t n = 0;
    if (is_bare(f))
        return b->n / width;
    if (f == CSM_AUDIO_FORMAT_AAC)
        return count_adts(b, &(size_t){0});
    float *y = NULL;
    int rate_hz;
    csm_error err;
    if (csm_audio_decode("sound", b->data, b->n, HUGE_VAL, &y, &n, &rate_hz, &err) != CSM_OK)
        return 0;
    free(y);
    return n;
}

/* include/csm/audio.h says these, in milliseconds at 24 kHz. */
static size_t most_held(csm_audio_format f)
{
    switch (f) {
    case CSM_AUDIO_FORMAT_FLAC:
        return 48 * RATE / 1000;
    case CSM_AUDIO_FORMAT_OGG:
        return 80 * RATE / 1000;
    case CSM_AUDIO_FORMAT_OPUS:
        return 80 * RATE / 1000;
    case CSM_AUDIO_FORMAT_MP3:
        return 48 * RATE / 1000;
    case CSM_AUDIO_FORMAT_AAC:
        return 86 * RATE / 1000;
    default:
        return 0;
    }
}

static void little_is_held_back(void **state)
{
    (void)state;
    static float x[25 * FRAME];
    make_sound(x, 25 * FRAME, RATE);
    for (int f = 0; f < N_FORMATS; f++)
        for (size_t piece = FRAME / 2; piece <= FRAME; piece += FRAME / 2) {
            struct bytes b = {0};
            csm_error err;
            csm_encoder *e = NULL;
            const csm_encoder_target target = {append, NULL, &b};
            assert_int_equal(csm_encoder_open((csm_audio_format)f, RATE, NULL, &target, &e, &err),
                             CSM_OK);
            for (size_t at = 0; at < 25 * FRAME; at += piece) {
                assert_int_equal(csm_encoder_push(e, x + at, piece, &err), CSM_OK);
                const size_t width = f == CSM_AUDIO_FORMAT_S16LE   ? 2
                                     : f == CSM_AUDIO_FORMAT_F32LE ? 4
                                                                   : 1;
                const size_t n = count_playable((csm_audio_format)f, &b, width);
                if (n + most_held((csm_audio_format)f) < at + piece)
                    fail_msg("%s: %zu samples pushed, %zu there",
                             csm_audio_format_name((csm_audio_format)f), at + piece, n);
            }
            csm_encoder_close(e);
            free(b.data);
        }
}

/* How a sound was cut changes nothing of what is heard. */
static void pieces_do_not_change_the_sound(void **state)
{
    (void)state;
    static float x[20000];
    make_sound(x, 20000, RATE);
    csm_audio_options options = csm_audio_defaults();
    static const int rates[] = {0, 8000, 44100};
    for (size_t r = 0; r < 3; r++)
        for (int f = 0; f < CSM_AUDIO_FORMAT_AAC; f++) {
            if (f == CSM_AUDIO_FORMAT_OGG) /* pages are cut by pushes; the samples are compared */
                continue;
            options.rate_hz = rates[r];
            struct bytes a = encode((csm_audio_format)f, RATE, &options, true, x, 20000, 20000);
            struct bytes b = encode((csm_audio_format)f, RATE, &options, true, x, 20000, 333);
            assert_int_equal(a.n, b.n);
            assert_memory_equal(a.data, b.data, a.n);
            free(a.data);
            free(b.data);
        }
}

static void a_rate_is_made_as_sound_comes(void **state)
{
    (void)state;
    static float x[30011];
    static const int rates[] = {8000, 11025, 16000, 22050, 44100, 48000};
    make_sound(x, 30011, RATE);
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        csm_audio_options options = csm_audio_defaults();
        options.rate_hz = rates[r];
        options.n_samples = 30011;
        struct bytes b = encode(CSM_AUDIO_FORMAT_WAV_F32, RATE, &options, false, x, 30011, 1000);
        float *y = NULL, *whole = NULL;
        int found_hz;
        size_t n_whole;
        csm_error err;
        size_t n = decode(&b, &y, &found_hz);
        assert_int_equal(csm_audio_resample(CSM_RESAMPLER_SOXR, x, 30011, RATE, rates[r], &whole,
                                            &n_whole, &err),
                         CSM_OK);
        assert_int_equal(found_hz, rates[r]);
        assert_int_equal(n, n_whole);
        for (size_t i = 0; i < n; i++) /* the same filters; their phases meet at other blocks */
            assert_float_equal(y[i], whole[i], 1e-5);
        csm_free(whole);
        free(y);
        free(b.data);
    }
}

static void tags_are_where_players_look(void **state)
{
    (void)state;
    static float x[3000];
    make_sound(x, 3000, RATE);
    csm_audio_options options = csm_audio_defaults();
    options.title = "Gr\xC3\xBC\xC3\x9F"
                    "e, \xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x8E\xB5";
    options.artist = "anna";
    options.software = "csm 0";
    options.comment = "made by a machine";
    for (int f = 0; f < N_FORMATS; f++) {
        if (!csm_audio_format_has_tags((csm_audio_format)f))
            continue;
        struct bytes b = encode((csm_audio_format)f, RATE, &options, true, x, 3000, 700);
        char path[] = "/tmp/csm-tags-XXXXXX";
        FILE *file = fdopen(mkstemp(path), "wb");
        assert_int_equal(fwrite(b.data, 1, b.n, file), b.n);
        fclose(file);
        SF_INFO info = {0};
        SNDFILE *sound = sf_open(path, SFM_READ, &info);
        assert_non_null(sound);
        assert_string_equal(sf_get_string(sound, SF_STR_TITLE), options.title);
        assert_string_equal(sf_get_string(sound, SF_STR_ARTIST), options.artist);
        assert_string_equal(sf_get_string(sound, SF_STR_COMMENT), options.comment);
        if (f != CSM_AUDIO_FORMAT_MP3 && f != CSM_AUDIO_FORMAT_OPUS && f != CSM_AUDIO_FORMAT_OGG &&
            f != CSM_AUDIO_FORMAT_FLAC)
            assert_string_equal(sf_get_string(sound, SF_STR_SOFTWARE), options.software);
        else
            assert_non_null(memmem(b.data, b.n,
                                   f == CSM_AUDIO_FORMAT_MP3 ? "c\0s\0m\0 \0"
                                                               "0\0"
                                                             : "ENCODER=csm 0",
                                   f == CSM_AUDIO_FORMAT_MP3 ? 10 : 13));
        assert_int_equal(info.frames, 3000);
        sf_close(sound);
        remove(path);
        free(b.data);
    }
}

static void names_and_endings_are_found(void **state)
{
    (void)state;
    for (int f = 0; f < N_FORMATS; f++)
        assert_int_equal(csm_audio_format_find(csm_audio_format_name((csm_audio_format)f)), f);
    assert_int_equal(csm_audio_format_find("wave"), CSM_AUDIO_FORMAT_COUNT);
    assert_int_equal(csm_audio_format_of_file("a.b/c.MP3"), CSM_AUDIO_FORMAT_MP3);
    assert_int_equal(csm_audio_format_of_file("x.pcm"), CSM_AUDIO_FORMAT_S16LE);
    assert_int_equal(csm_audio_format_of_file("x.wav.txt"), CSM_AUDIO_FORMAT_COUNT);
    assert_int_equal(csm_audio_format_of_file("a.wav/c"), CSM_AUDIO_FORMAT_COUNT);
    assert_int_equal(csm_audio_format_of_file("wav"), CSM_AUDIO_FORMAT_COUNT);
    assert_string_equal(csm_audio_format_type(CSM_AUDIO_FORMAT_OPUS), "audio/ogg; codecs=opus");
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct bytes b = {0};
    const csm_encoder_target target = {append, NULL, &b};
    csm_encoder *e = NULL;
    csm_error err;
    csm_audio_options options = csm_audio_defaults();
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_MP3, 30000, NULL, &target, &e, &err),
                     CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "22050, 24000"));
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_OGG, 4000, NULL, &target, &e, &err),
                     CSM_BAD_ARG);
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, 0, NULL, &target, &e, &err),
                     CSM_BAD_ARG);
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_COUNT, RATE, NULL, &target, &e, &err),
                     CSM_BAD_ARG);
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, NULL, NULL, &e, &err),
                     CSM_BAD_ARG);
    options.rate_hz = 7999;
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, &options, &target, &e, &err),
                     CSM_BAD_ARG);
    options.rate_hz = -1;
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, &options, &target, &e, &err),
                     CSM_BAD_ARG);
    options.rate_hz = 0;
    options.title = "\xFF";
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, &options, &target, &e, &err),
                     CSM_BAD_ARG);
    assert_null(e);
    assert_int_equal(b.n, 0);
    options.title = NULL;
    options.n_samples = 5;
    const float x[4] = {0};
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, &options, &target, &e, &err),
                     CSM_OK);
    assert_int_equal(csm_encoder_push(e, x, 4, &err), CSM_OK);
    assert_int_equal(csm_encoder_finish(e, &err), CSM_BAD_ARG);
    csm_encoder_close(e);
    csm_encoder_close(NULL);
    free(b.data);
}

/* Whichever of the target's calls fails, its status and words come back. */
static void credentials_are_of_files_that_can_be_signed(void **state)
{
    (void)state;
    int any; /* nothing is signed here: what is refused is not looked at */
    csm_error err;
    csm_encoder *e = NULL;
    csm_audio_writer *w = NULL;
    const csm_encoder_target target = {append, NULL, NULL};
    csm_audio_options o = csm_audio_defaults();
    o.credentials = (csm_credentials *)(void *)&any;
    assert_int_equal(csm_encoder_open(CSM_AUDIO_FORMAT_WAV, RATE, &o, &target, &e, &err), CSM_BAD_ARG);
    for (int f = 0; f < CSM_AUDIO_FORMAT_COUNT; f++) {
        const char *type = csm_audio_format_type((csm_audio_format)f);
        const bool fits = strcmp(type, "audio/wav") == 0 || strcmp(type, "audio/flac") == 0 ||
                          strcmp(type, "audio/mpeg") == 0;
        assert_true(csm_credentials_fit((csm_audio_format)f) == fits);
        if (!fits)
            assert_int_equal(csm_audio_writer_open("-", (csm_audio_format)f, RATE, &o, &w, &err),
                             CSM_BAD_ARG);
    }
    assert_null(e);
    assert_null(w);
}

static void a_dead_line_ends_the_encoding(void **state)
{
    (void)state;
    static float x[20000];
    make_sound(x, 20000, RATE);
    for (int f = 0; f < N_FORMATS; f++) {
        struct bytes whole = encode((csm_audio_format)f, RATE, NULL, false, x, 20000, 5000);
        for (size_t fail_at = 1; fail_at <= whole.n_calls; fail_at++) {
            struct bytes b = {.fail_at = fail_at};
            const csm_encoder_target target = {append, NULL, &b};
            csm_encoder *e = NULL;
            csm_error err;
            csm_status st = csm_encoder_open((csm_audio_format)f, RATE, NULL, &target, &e, &err);
            for (size_t at = 0; st == CSM_OK && at < 20000; at += 5000)
                st = csm_encoder_push(e, x + at, 5000, &err);
            if (st == CSM_OK)
                st = csm_encoder_finish(e, &err);
            assert_int_equal(st, CSM_CANCELLED);
            assert_string_equal(err.text, "the line is dead");
            csm_encoder_close(e);
            assert_int_equal(b.n_calls, fail_at);
            free(b.data);
        }
        free(whole.data);
    }
}

/* Each code against libsndfile's reading of it: no other code is nearer. */
static void telephony_takes_the_nearest_code(void **state)
{
    (void)state;
    for (csm_audio_format f = CSM_AUDIO_FORMAT_WAV_ULAW; f <= CSM_AUDIO_FORMAT_WAV_ALAW; f++) {
        float levels[65536], *y = NULL;
        for (int i = 0; i < 65536; i++)
            levels[i] = (float)(i - 32768) / 32768;
        struct bytes b = encode(f, RATE, NULL, true, levels, 65536, 65536);
        int rate_hz;
        assert_int_equal(decode(&b, &y, &rate_hz), 65536);
        for (int i = 0; i < 65536; i++) { /* half a step: 1/32 of the level, 8 of 32768 at least */
            const double off = fabs((double)y[i] - (double)levels[i]) * 32768;
            const double level = fabs((double)levels[i]) * 32768;
            if (level < 32124 && off > fmax(16, level / 30 + 4))
                fail_msg("%d: %g off", i - 32768, off);
        }
        free(y);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_to_the_sample),
        cmocka_unit_test(aac_is_frames_of_1024_samples),
        cmocka_unit_test(little_is_held_back),
        cmocka_unit_test(pieces_do_not_change_the_sound),
        cmocka_unit_test(a_rate_is_made_as_sound_comes),
        cmocka_unit_test(tags_are_where_players_look),
        cmocka_unit_test(names_and_endings_are_found),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(credentials_are_of_files_that_can_be_signed),
        cmocka_unit_test(a_dead_line_ends_the_encoding),
        cmocka_unit_test(telephony_takes_the_nearest_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
