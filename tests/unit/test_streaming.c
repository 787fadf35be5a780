/* SPDX-License-Identifier: Apache-2.0
 *
 * Sound in pieces, and generations that end anywhere, over the small random model
 * of tests/golden/csm-a. Random choices come from CSM_SEED (default 1), which a
 * failure prints; CSM_CHUNKINGS (default 1000) ways to cut are tried, and CSM_CANCELS
 * (default 300) generations cancelled. */
#include "unit/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "unit/request.h"

static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static csm_model *model;
static uint64_t seed = 1;

static long from_environment(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value != NULL ? strtol(value, NULL, 10) : otherwise;
}

/* A number below n, by xorshift64. */
static size_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % n);
}

static int open_model(void **state)
{
    (void)state;
    seed = (uint64_t)from_environment("CSM_SEED", 1);
    csm_error err;
    const csm_model_options options = {.size = sizeof(csm_model_options), .engine = "native", .strategy = CSM_STRATEGY_EXACT};
    if (csm_model_open(model_dir, &options, &model, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    csm_model_close(model);
    return 0;
}

/* The order of sums differs between a stream and a whole, in float32 alone. */
static void any_chunking_gives_the_whole(void **state)
{
    (void)state;
    enum { FRAMES = 40 };
    const long n_chunkings = from_environment("CSM_CHUNKINGS", 1000);
    const csm_model_info *info = csm_model_describe(model);
    const size_t k = info->n_codebooks, n_samples = FRAMES * info->frame_samples;
    int32_t *codes = malloc(FRAMES * k * sizeof *codes);
    float *whole = malloc(n_samples * sizeof *whole), *streamed = malloc(n_samples * sizeof *whole);
    csm_decoder *decoder;
    csm_error err;
    for (size_t i = 0; i < FRAMES * k; i++)
        codes[i] = (int32_t)below(info->n_entries);
    assert_int_equal(csm_codec_decode(csm_model_codec(model), codes, FRAMES, k, whole, &err),
                     CSM_OK);
    assert_int_equal(csm_decoder_open(csm_model_codec(model), &decoder, &err), CSM_OK);
    for (long c = 0; c < n_chunkings; c++) {
        const uint64_t reproduce = seed;
        const size_t n_frames = 1 + below(c % 20 == 0 ? FRAMES : 12);
        assert_int_equal(csm_decoder_reset(decoder, &err), CSM_OK);
        for (size_t at = 0; at < n_frames;) {
            size_t n = 1 + below(n_frames - at);
            assert_int_equal(csm_decoder_push(decoder, codes + at * k, n, k,
                                              streamed + at * info->frame_samples, &err),
                             CSM_OK);
            at += n;
        }
        /* Pieces of other lengths add in another order: float32, of sound that is below 1. */
        for (size_t i = 0; i < n_frames * info->frame_samples; i++)
            if (!(fabsf(streamed[i] - whole[i]) <= 1e-5f))
                fail_msg("sample %zu: %g, expected %g; reproduce: CSM_SEED=%llu", i,
                         (double)streamed[i], (double)whole[i], (unsigned long long)reproduce);
    }
    csm_decoder_close(decoder);
    free(codes);
    free(whole);
    free(streamed);
}

static bool until(void *user, const csm_frame *frame)
{
    return frame->index < *(const size_t *)user;
}

static void a_generation_may_end_at_any_frame(void **state)
{
    (void)state;
    const long n_cancels = from_environment("CSM_CANCELS", 300);
    csm_error err;
    for (long c = 0; c < n_cancels; c++) {
        size_t last = below(5);
        csm_generate_options options = csm_generate_defaults();
        options.seed = (uint64_t)c;
        options.max_frames = options.min_frames = 6; /* it does not end by itself */
        options.on_frame = until;
        options.user = &last;
        if (c % 2 == 0) { /* by the callback */
            csm_result *result = NULL;
            csm_status st = csm_generate(model, &REQUEST(NULL, 0, "Hi.", 0), &options, &result, &err);
            assert_int_equal(st, CSM_CANCELLED);
            assert_int_equal(result->n_frames, last + 1);
            csm_result_close(result);
        } else { /* by walking away */
            options.on_frame = NULL;
            csm_generation *generation;
            const csm_frame *frame = NULL;
            assert_int_equal(csm_generation_open(model, &REQUEST(NULL, 0, "Hi.", 0), &options, &generation,
                                                  &err),
                             CSM_OK);
            for (size_t i = 0; (i == 0 || frame != NULL) && i < last; i++)
                assert_int_equal(csm_generation_next(generation, &frame, &err), CSM_OK);
            csm_generation_close(generation);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_chunking_gives_the_whole),
        cmocka_unit_test(a_generation_may_end_at_any_frame),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
