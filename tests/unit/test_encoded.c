/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound that was encoded before is not encoded again: its codes are kept by its samples, the
 * ones used last, up to CSM_ENCODED_MOST_BYTES. */
#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/codec.h>

#include "generate/model.h"

enum { N = 1000, N_FRAMES = 3, N_CODEBOOKS = 2, N_CODES = N_FRAMES * N_CODEBOOKS };

static void fill(float *samples, size_t n, float first)
{
    for (size_t i = 0; i < n; i++)
        samples[i] = first + (float)i / 4096;
}

static void only_the_same_samples_are_found(void **state)
{
    (void)state;
    struct csm_encoded kept;
    float sound[N], other[N];
    const int32_t codes[N_CODES] = {1, 2, 3, 4, 5, 6};
    int32_t found[N_CODES] = {0};
    fill(sound, N, 0.5f);
    memcpy(other, sound, sizeof other);
    other[N - 1] = -other[N - 1];
    csm_encoded_open(&kept);
    assert_false(csm_encoded_find(&kept, sound, N, N_CODEBOOKS, found));
    for (int i = 0; i < 3; i++) /* once is enough */
        csm_encoded_keep(&kept, sound, N, codes, N_FRAMES, N_CODEBOOKS);
    assert_int_equal(kept.n_bytes, sizeof sound + sizeof codes);
    assert_false(csm_encoded_find(&kept, other, N, N_CODEBOOKS, found));
    assert_false(csm_encoded_find(&kept, sound, N - 1, N_CODEBOOKS, found));
    assert_false(csm_encoded_find(&kept, sound, N, N_CODEBOOKS + 1, found));
    assert_true(csm_encoded_find(&kept, sound, N, N_CODEBOOKS, found));
    assert_memory_equal(found, codes, sizeof codes);
    csm_encoded_close(&kept);
}

static void the_least_used_goes_first(void **state)
{
    (void)state;
    enum { MANY = CSM_ENCODED_MOST_BYTES / 3 / sizeof(float) };
    struct csm_encoded kept;
    const int32_t codes[N_CODES] = {0};
    int32_t found[N_CODES];
    float *sounds[4], *endless = calloc(4, MANY * sizeof *endless);
    csm_encoded_open(&kept);
    assert_non_null(endless);
    csm_encoded_keep(&kept, endless, 4 * MANY, codes, N_FRAMES, N_CODEBOOKS);
    assert_int_equal(kept.n_bytes, 0);
    for (int i = 0; i < 4; i++) {
        sounds[i] = endless + i * MANY;
        sounds[i][0] = (float)i;
    }
    for (int i = 0; i < 2; i++)
        csm_encoded_keep(&kept, sounds[i], MANY, codes, N_FRAMES, N_CODEBOOKS);
    assert_true(csm_encoded_find(&kept, sounds[0], MANY, N_CODEBOOKS, found));
    csm_encoded_keep(&kept, sounds[2], MANY, codes, N_FRAMES, N_CODEBOOKS); /* 1 goes */
    assert_true(csm_encoded_find(&kept, sounds[0], MANY, N_CODEBOOKS, found));
    assert_false(csm_encoded_find(&kept, sounds[1], MANY, N_CODEBOOKS, found));
    csm_encoded_keep(&kept, sounds[3], MANY, codes, N_FRAMES, N_CODEBOOKS); /* 2 goes */
    assert_true(csm_encoded_find(&kept, sounds[0], MANY, N_CODEBOOKS, found));
    assert_false(csm_encoded_find(&kept, sounds[2], MANY, N_CODEBOOKS, found));
    assert_true(csm_encoded_find(&kept, sounds[3], MANY, N_CODEBOOKS, found));
    assert_true(kept.n_bytes <= CSM_ENCODED_MOST_BYTES);
    csm_encoded_close(&kept);
    free(endless);
}

/* Nobody else's frame is waited for: the engine is not asked. Were it, this would wait for
 * ever. */
static void the_engine_is_asked_once(void **state)
{
    (void)state;
    csm_error err;
    csm_codec *codec;
    float sound[4 * 1920 + 7];
    int32_t first[5 * 8], again[5 * 8] = {0};
    const size_t n = sizeof sound / sizeof *sound;
    fill(sound, n, -0.5f);
    assert_int_equal(csm_codec_open(CSM_SOURCE_DIR "/tests/golden/csm-a", NULL, &codec, &err), CSM_OK);
    assert_int_equal(csm_codec_encode(codec, sound, n, 8, first, &err), CSM_OK);
    alarm(60);
    csm_turns_take(codec->turns);
    assert_int_equal(csm_codec_encode(codec, sound, n, 8, again, &err), CSM_OK);
    csm_turns_give(codec->turns);
    alarm(0);
    assert_memory_equal(first, again, sizeof first);
    csm_codec_close(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_same_samples_are_found),
        cmocka_unit_test(the_least_used_goes_first),
        cmocka_unit_test(the_engine_is_asked_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
