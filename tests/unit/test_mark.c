/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <csm/audio.h>
#include <csm/mark.h>

#include "mark/chips.h"
#include "mark/payload.h"
#include "mark/sums.h"

enum { RATE = 24000, N = 5 * RATE };

static const csm_mark_payload PAYLOAD = {.maker = 1, .model = 0xbeef, .free_bits = 42};
static const unsigned char KEY[CSM_MARK_KEY_BYTES] = "a key that is not the public one";

/* Uniform in [-1, 1): a linear congruential generator, so that each run is the same. */
static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

/* Noise through two resonances (500 and 1,500 Hz) with four syllables a second. */
static float *make_speech(size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    uint32_t state = 1;
    double a[2] = {0}, b[2] = {0};
    for (size_t i = 0; i < n; i++) {
        const double t = (double)i / RATE, e = noise(&state);
        const double y = e + 1.95 * cos(6.283185 * 500 / RATE) * a[0] - 0.95 * a[1];
        const double z = y + 1.95 * cos(6.283185 * 1500 / RATE) * b[0] - 0.95 * b[1];
        a[1] = a[0], a[0] = y, b[1] = b[0], b[0] = z;
        x[i] = (float)(z * 0.002 * (0.05 + pow(sin(3.14159265 * 4 * t), 2)));
    }
    return x;
}

static float *make_marked(const float *x, size_t n, const unsigned char *key)
{
    csm_mark_options o = csm_mark_defaults();
    o.payload = PAYLOAD;
    o.key = key;
    csm_mark *mark;
    csm_error err;
    assert_int_equal(csm_mark_open(&o, &mark, &err), CSM_OK);
    float *y = malloc(n * sizeof *y);
    assert_non_null(y);
    csm_mark_push(mark, x, n, y);
    csm_mark_close(mark);
    return y;
}

/* The first stretch found, p_value 1 if none. */
static csm_mark_found look(const float *x, size_t n, int rate_hz, const unsigned char *key,
                           size_t chunk)
{
    csm_mark_options o = csm_mark_defaults();
    o.rate_hz = rate_hz;
    o.key = key;
    csm_detector *d;
    csm_error err;
    assert_int_equal(csm_detector_open(&o, &d, &err), CSM_OK);
    for (size_t at = 0; at < n; at += chunk)
        assert_int_equal(csm_detector_push(d, x + at, n - at < chunk ? n - at : chunk, &err),
                         CSM_OK);
    const csm_mark_found *found;
    size_t n_found;
    double p_value;
    assert_int_equal(csm_detector_result(d, &found, &n_found, &p_value, &err), CSM_OK);
    const csm_mark_found first =
        n_found > 0 ? found[0] : (csm_mark_found){.p_value = 1, .has_payload = false};
    assert_true(p_value <= first.p_value);
    csm_detector_close(d);
    return first;
}

static void assert_read(const csm_mark_found *f)
{
    assert_true(f->p_value <= 1e-5);
    assert_true(f->has_payload);
    assert_int_equal(f->payload.maker, PAYLOAD.maker);
    assert_int_equal(f->payload.model, PAYLOAD.model);
    assert_int_equal(f->payload.free_bits, PAYLOAD.free_bits);
}

static void the_bits_are_the_same_however_a_sound_is_cut(void **state)
{
    (void)state;
    static const size_t chunks[] = {1, 7, 120, 1920, 1921};
    float *x = make_speech(RATE), *whole = make_marked(x, RATE, NULL);
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        csm_mark_options o = csm_mark_defaults();
        o.payload = PAYLOAD;
        csm_mark *mark;
        csm_error err;
        assert_int_equal(csm_mark_open(&o, &mark, &err), CSM_OK);
        float *y = malloc(RATE * sizeof *y);
        memcpy(y, x, RATE * sizeof *y);
        for (size_t at = 0; at < RATE; at += chunks[c]) {
            const size_t n = RATE - at < chunks[c] ? RATE - at : chunks[c];
            csm_mark_push(mark, y + at, n, y + at);
        }
        assert_memory_equal(y, whole, RATE * sizeof *y);
        csm_mark_close(mark);
        free(y);
    }
    free(whole);
    free(x);
}

/* What was marked once is marked so again: FNV-1a of the samples of three rates, as the first
 * version of the mark made them, at once and in pieces. The sound is loud and soft noise
 * with samples that are not finite among it, the fourth being one. */
static void the_bits_are_those_of_the_first_version(void **state)
{
    (void)state;
    static const int rates[] = {8000, 24000, 48000};
    static float x[RATE], y[RATE];
    uint32_t seed = 3;
    for (size_t i = 0; i < RATE; i++)
        x[i] = noise(&seed) * (i / 1500 % 3 == 0 ? 0.5f : 0.01f);
    x[3] = NAN;
    x[7000] = INFINITY;
    x[9000] = 3e38f;
    for (size_t chunk = 7; chunk <= RATE; chunk += RATE - 7) {
        uint64_t hash = 0xcbf29ce484222325u;
        for (size_t r = 0; r < 3; r++) {
            csm_mark_options o = csm_mark_defaults();
            o.payload = PAYLOAD;
            o.rate_hz = rates[r];
            csm_mark *mark;
            csm_error err;
            assert_int_equal(csm_mark_open(&o, &mark, &err), CSM_OK);
            for (size_t at = 0; at < RATE; at += chunk)
                csm_mark_push(mark, x + at, RATE - at < chunk ? RATE - at : chunk, y + at);
            csm_mark_close(mark);
            for (size_t i = 0; i < RATE; i++) {
                uint32_t bits = 0; /* what is no number has bits of its own on each processor */
                if (!isnan(y[i]))
                    memcpy(&bits, &y[i], sizeof bits);
                for (int byte = 0; byte < 4; byte++)
                    hash = (hash ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3u;
            }
        }
        assert_true(hash == 0x278f4c597ae57f2du);
    }
}

static void a_mark_is_found_and_read_and_no_mark_is_not(void **state)
{
    (void)state;
    float *x = make_speech(N), *y = make_marked(x, N, NULL);
    const csm_mark_found f = look(y, N, RATE, NULL, N);
    assert_read(&f);
    assert_true(f.speed == 1);
    assert_true(f.start_s < 0.1 && f.end_s > 4.9 && f.end_s < 5.1);
    assert_true(look(x, N, RATE, NULL, N).p_value == 1);
    free(y);
    free(x);
}

static void a_detector_is_fed_in_any_pieces(void **state)
{
    (void)state;
    float *x = make_speech(N), *y = make_marked(x, N, NULL);
    const csm_mark_found a = look(y, N, RATE, NULL, N), b = look(y, N, RATE, NULL, 997);
    assert_true(a.p_value == b.p_value && a.start_s == b.start_s && a.end_s == b.end_s);
    assert_read(&b);
    free(y);
    free(x);
}

static void a_fixed_speed_is_all_that_is_looked_at(void **state)
{
    (void)state;
    float *x = make_speech(N), *y = make_marked(x, N, NULL), *z;
    size_t n, n_found[2];
    csm_error err;
    assert_int_equal(
        csm_audio_resample(CSM_RESAMPLER_TORCHAUDIO, y, N, 24360, RATE, &z, &n, &err), CSM_OK);
    for (int i = 0; i < 2; i++) {
        csm_mark_options o = csm_mark_defaults();
        o.fixed_speed = true;
        csm_detector *d;
        const csm_mark_found *found;
        assert_int_equal(csm_detector_open(&o, &d, &err), CSM_OK);
        assert_int_equal(csm_detector_push(d, i == 0 ? y : z, i == 0 ? N : n, &err), CSM_OK);
        assert_int_equal(csm_detector_result(d, &found, &n_found[i], NULL, &err), CSM_OK);
        csm_detector_close(d);
    }
    assert_true(n_found[0] == 1 && n_found[1] == 0);
    csm_free(z);
    free(y);
    free(x);
}

static void without_the_key_nothing_is_found(void **state)
{
    (void)state;
    float *x = make_speech(N), *y = make_marked(x, N, KEY);
    const csm_mark_found f = look(y, N, RATE, KEY, N);
    assert_read(&f);
    assert_true(look(y, N, RATE, NULL, N).p_value == 1);
    free(y);
    free(x);
}

static void the_telephones_rate_and_another_speed_do_not_hide_it(void **state)
{
    (void)state;
    float *x = make_speech(N), *y = make_marked(x, N, NULL), *z;
    size_t n;
    csm_error err;
    assert_int_equal(
        csm_audio_resample(CSM_RESAMPLER_TORCHAUDIO, y, N, RATE, 8000, &z, &n, &err), CSM_OK);
    csm_mark_found f = look(z, n, 8000, NULL, n);
    assert_read(&f);
    csm_free(z);
    /* 1.5 % faster: the same samples, fewer of them. */
    assert_int_equal(
        csm_audio_resample(CSM_RESAMPLER_TORCHAUDIO, y, N, 24360, RATE, &z, &n, &err), CSM_OK);
    f = look(z, n, RATE, NULL, n);
    assert_read(&f);
    /* Lines are at most a sample of 8 kHz off at their end: 1.25e-4 / 5 s, and the steps
     * between speeds twice that. */
    assert_true(fabs(f.speed - 1.015) < 1e-4);
    csm_free(z);
    free(y);
    free(x);
}

static void silence_gets_less_than_half_a_step_of_16_bits(void **state)
{
    (void)state;
    float *x = calloc(RATE, sizeof *x), *y = make_marked(x, RATE, NULL);
    for (size_t i = 0; i < RATE; i++)
        assert_true(fabsf(y[i]) < 0.5f / 32768);
    free(y);
    free(x);
}

static void what_is_not_finite_spoils_what_is_around_it_alone(void **state)
{
    (void)state;
    float *x = make_speech(N);
    x[1000] = NAN;
    x[2000] = INFINITY;
    x[3000] = 3e38f;
    float *y = make_marked(x, N, NULL);
    for (size_t i = 4000; i < N; i++)
        assert_true(isfinite(y[i]));
    const csm_mark_found f = look(y, N, RATE, NULL, N);
    assert_read(&f);
    free(y);
    free(x);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    csm_error err;
    csm_mark *mark = NULL;
    csm_mark_options o = csm_mark_defaults();
    o.rate_hz = 44100;
    assert_int_equal(csm_mark_open(&o, &mark, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "44100"));
    o = csm_mark_defaults();
    o.size = 0;
    assert_int_equal(csm_mark_open(&o, &mark, &err), CSM_BAD_ARG);
    assert_null(mark);
    csm_mark_close(NULL);
    csm_detector_close(NULL);
}

static void nothing_goes_on_after_the_result(void **state)
{
    (void)state;
    csm_detector *d;
    csm_error err;
    const csm_mark_found *found;
    size_t n;
    const float x[1] = {0};
    assert_int_equal(csm_detector_open(NULL, &d, &err), CSM_OK);
    assert_int_equal(csm_detector_result(d, &found, &n, NULL, &err), CSM_OK);
    assert_int_equal(n, 0);
    assert_int_equal(csm_detector_push(d, x, 1, &err), CSM_BAD_ARG);
    csm_detector_close(d);
}

static void a_payload_survives_noise_and_noise_is_no_payload(void **state)
{
    (void)state;
    uint32_t seed = 7;
    float coded[N_CODED_BITS], soft[N_CODED_BITS];
    csm_mark_payload p;
    csm_mark_payload_encode(&PAYLOAD, coded);
    for (size_t i = 0; i < N_CODED_BITS; i++)
        soft[i] = coded[i] + 1.8f * noise(&seed); /* one bit in four is wrong in sign */
    assert_true(csm_mark_payload_decode(soft, &p));
    assert_int_equal(p.model, PAYLOAD.model);
    /* Check bits agree by chance once in 2^24: in 300 tries with probability 2e-5. */
    for (int i = 0; i < 300; i++) {
        for (size_t k = 0; k < N_CODED_BITS; k++)
            soft[k] = noise(&seed);
        assert_false(csm_mark_payload_decode(soft, &p));
    }
    memset(soft, 0, sizeof soft);
    assert_false(csm_mark_payload_decode(soft, &p));
}

static void chips_are_the_keystream_of_rfc_8439(void **state)
{
    (void)state;
    /* Section 2.3.2's key, but nonce and counter 0: the first bytes of the block, from
     * OpenSSL: openssl enc -chacha20 -K 0001..1f -iv 0 -in /dev/zero. */
    unsigned char key[32];
    for (size_t i = 0; i < 32; i++)
        key[i] = (unsigned char)i;
    static const unsigned char expected[8] = {0x39, 0xfd, 0x2b, 0x7d, 0xd9, 0xc5, 0x19, 0x6a};
    struct chips chips;
    csm_mark_chips_make(key, &chips);
    for (size_t i = 0; i < 64; i++)
        assert_true(chips.pilot[i] == (expected[i / 8] >> i % 8 & 1 ? 1.0f : -1.0f));
}

/* Each addition in the order that sums.h states. */
static void check_sums(const struct mark_sums *sums)
{
    enum { N_TERMS = 97 };
    static float x[N_PLACES + N_TERMS];
    uint32_t seed = 9;
    float factors[N_TERMS], got[N_PLACES], r[N_ORDER + 1];
    const float *from[N_TERMS];
    for (size_t i = 0; i < N_PLACES + N_TERMS; i++)
        x[i] = noise(&seed);
    for (size_t k = 0; k < N_TERMS; k++) {
        factors[k] = noise(&seed);
        from[k] = x + N_TERMS - k;
    }
    for (size_t n = 8; n <= N_TERMS; n += 89) {
        sums->terms(got, from, factors, n);
        for (size_t t = 0; t < N_STEP; t++) {
            float sum = 0;
            for (size_t k = 0; k < n; k++)
                sum += factors[k] * from[k][t];
            assert_true(got[t] == sum);
        }
    }
    memset(got, 0, sizeof got);
    sums->chips(got, from, factors);
    sums->lags(x, r);
    for (size_t i = 0; i < N_PLACES; i++) {
        float sum = 0;
        for (size_t k = 0; k < N_CHIPS; k++)
            sum += factors[k] * from[k][i];
        assert_true(got[i] == sum);
    }
    for (size_t lag = 0; lag <= N_ORDER; lag++) {
        float s[8] = {0};
        for (size_t i = 0; i < N_WINDOW; i++)
            s[i % 8] += x[i] * x[i + lag];
        assert_true(r[lag] == ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])));
    }
}

static void sums_have_the_same_bits_on_every_processor(void **state)
{
    (void)state;
    check_sums(&csm_mark_sums_everywhere);
    check_sums(csm_mark_sums());
}

static void a_digest_gives_the_payload(void **state)
{
    (void)state;
    assert_int_equal(csm_mark_payload_of("beefcafe").model, 0xbeef);
    assert_int_equal(csm_mark_payload_of("beefcafe").maker, CSM_MARK_MAKER_CSM);
    assert_int_equal(csm_mark_payload_of(NULL).model, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bits_are_the_same_however_a_sound_is_cut),
        cmocka_unit_test(the_bits_are_those_of_the_first_version),
        cmocka_unit_test(a_mark_is_found_and_read_and_no_mark_is_not),
        cmocka_unit_test(a_detector_is_fed_in_any_pieces),
        cmocka_unit_test(a_fixed_speed_is_all_that_is_looked_at),
        cmocka_unit_test(without_the_key_nothing_is_found),
        cmocka_unit_test(the_telephones_rate_and_another_speed_do_not_hide_it),
        cmocka_unit_test(silence_gets_less_than_half_a_step_of_16_bits),
        cmocka_unit_test(what_is_not_finite_spoils_what_is_around_it_alone),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(nothing_goes_on_after_the_result),
        cmocka_unit_test(a_payload_survives_noise_and_noise_is_no_payload),
        cmocka_unit_test(chips_are_the_keystream_of_rfc_8439),
        cmocka_unit_test(sums_have_the_same_bits_on_every_processor),
        cmocka_unit_test(a_digest_gives_the_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
