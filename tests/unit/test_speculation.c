/* SPDX-License-Identifier: Apache-2.0
 *
 * Guessed and confirmed codes are those drawn one by one: codes, margins, probabilities,
 * logits and sound, bit for bit, for each precision, kernel table and way to draw, alone, along
 * forced codes, and where a second generation comes and goes. CSM_FRAMES (default 6) frames
 * of each, from CSM_SEED (default 7) on; CSM_MODEL: another model than tests/golden/csm-a;
 * CSM_TABLE: this kernel table alone. */
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "engine/native/native.h"
#include "generate/model.h"
#include "unit/request.h"

static const char text[] = "What was guessed is confirmed, or drawn anew.";

struct way {
    const char *sampler, *stream, *dtype;
    double temperature, depth_temperature, top_p, min_p;
    int top_k;
};

static const struct way ways[] = {
    {"sesame", "torch-cpu", NULL, 0.9, 0.9, 1, 0, 50},
    {"transformers", "torch-cpu", "f32", 0.9, 0.7, 0.9, 0, 0},
    {"transformers", "torch-cuda", "f32", 1.1, 1.1, 1, 0.05, 50},
    {"sesame", "torch-cpu", "bf16", 0.8, 0.8, 1, 0, 5},
    {"csm-mlx", "mlx", NULL, 0.9, 0.9, 1, 0, 50},
    {"sesame", "torch-cpu", NULL, 0.9, 0, 1, 0, 50}, /* the depth decoder greedy */
    {"sesame", "torch-cpu", NULL, 0, 0, 1, 0, 0},
};

static csm_error err;

static void ok(csm_status st)
{
    if (st != CSM_OK)
        fail_msg("%s", err.text);
}

static const char *model_dir(void)
{
    const char *dir = getenv("CSM_MODEL");
    return dir != NULL ? dir : CSM_SOURCE_DIR "/tests/golden/csm-a";
}

static size_t n_frames(void)
{
    const char *n = getenv("CSM_FRAMES");
    return n != NULL ? strtoul(n, NULL, 10) : 6;
}

static uint64_t first_seed(void)
{
    const char *seed = getenv("CSM_SEED");
    return seed != NULL ? strtoul(seed, NULL, 10) : 7;
}

static bool is_asked_for(const struct kernels *table)
{
    const char *name = getenv("CSM_TABLE");
    return name == NULL || strcmp(name, table->name) == 0;
}

static csm_model *open_model(csm_precision precision, csm_speculation_use use)
{
    csm_model_options options = csm_model_defaults();
    csm_model *model;
    options.engine = "native";
    options.strategy = CSM_STRATEGY_EXACT;
    options.precision = precision;
    options.speculation = use;
    ok(csm_model_open(model_dir(), &options, &model, &err));
    return model;
}

static csm_generate_options options_of(const struct way *way, uint64_t seed)
{
    csm_generate_options options = csm_generate_defaults();
    options.sampler = way->sampler;
    options.stream = way->stream;
    options.dtype = way->dtype;
    options.temperature = way->temperature;
    options.depth_temperature = way->depth_temperature;
    options.top_p = options.depth_top_p = way->top_p;
    options.min_p = options.depth_min_p = way->min_p;
    options.top_k = options.depth_top_k = way->top_k;
    options.max_frames = n_frames();
    options.min_frames = options.max_frames;
    options.keep_logits = true;
    options.seed = seed;
    return options;
}

static csm_result *say(csm_model *model, const csm_generate_options *options)
{
    csm_result *result;
    ok(csm_generate(model, &REQUEST(NULL, 0, text, 0), options, &result, &err));
    return result;
}

static void is_same(const csm_result *a, const csm_result *b)
{
    const size_t n = a->n_frames * a->n_codebooks;
    assert_int_equal(a->n_frames, b->n_frames);
    assert_memory_equal(a->codes, b->codes, n * sizeof *a->codes);
    assert_memory_equal(a->margins, b->margins, n * sizeof *a->margins);
    assert_memory_equal(a->probs, b->probs, n * sizeof *a->probs);
    assert_memory_equal(a->logits, b->logits, n * a->vocab * sizeof *a->logits);
    assert_int_equal(a->n_samples, b->n_samples);
    assert_memory_equal(a->samples, b->samples, a->n_samples * sizeof *a->samples);
}

/* One way: free, and then along its own codes with another seed. */
static void compare(csm_model *plain, csm_model *guessing, const struct way *way, size_t *n_guessed,
                    size_t *n_confirmed)
{
    csm_generate_options options = options_of(way, first_seed());
    csm_result *want = say(plain, &options), *found = say(guessing, &options);
    is_same(want, found);
    assert_int_equal(want->report->n_guessed, 0);
    *n_guessed += found->report->n_guessed;
    *n_confirmed += found->report->n_confirmed;
    options.forced = want->codes;
    options.n_forced = want->n_frames;
    options.seed = first_seed() + 1;
    csm_result *want_forced = say(plain, &options), *found_forced = say(guessing, &options);
    is_same(want_forced, found_forced);
    csm_result_close(want);
    csm_result_close(found);
    csm_result_close(want_forced);
    csm_result_close(found_forced);
}

static void confirmed_is_drawn(void **state)
{
    static const csm_precision precisions[] = {CSM_PRECISION_STORED, CSM_PRECISION_F32,
                                               CSM_PRECISION_F16};
    size_t n_compared = 0;
    (void)state;
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++)
        for (size_t t = 0; csm_kernels_fast(t) != NULL; t++) {
            if (!is_asked_for(csm_kernels_fast(t)))
                continue;
            csm_model *plain = open_model(precisions[p], CSM_SPECULATION_OFF);
            csm_model *guessing = open_model(precisions[p], CSM_SPECULATION_ON);
            ((struct native *)guessing->host.engine.ctx)->kernels = csm_kernels_fast(t);
            size_t n_guessed = 0, n_confirmed = 0;
            for (size_t w = 0; w < sizeof ways / sizeof *ways; w++, n_compared++)
                compare(plain, guessing, &ways[w], &n_guessed, &n_confirmed);
            printf("%s, %s: %zu of %zu guesses confirmed\n", csm_precision_name(precisions[p]),
                   csm_kernels_fast(t)->name, n_confirmed, n_guessed);
            assert_true(n_guessed > 0);
            if (getenv("CSM_MODEL") == NULL) /* of others, all or none may be right */
                assert_true(n_confirmed > 0 && n_confirmed < n_guessed);
            csm_model_close(plain);
            csm_model_close(guessing);
        }
    assert_true(n_compared > 0);
}

/* While two draw, nobody guesses; whoever is left alone goes on guessing. */
static void another_comes_and_goes(void **state)
{
    (void)state;
    csm_model *plain = open_model(CSM_PRECISION_F32, CSM_SPECULATION_OFF);
    csm_model *guessing = open_model(CSM_PRECISION_F32, CSM_SPECULATION_ON);
    const csm_generate_options options = options_of(&ways[0], 21);
    csm_result *want = say(plain, &options);
    csm_generate_options short_options = options_of(&ways[1], 22);
    short_options.max_frames = short_options.min_frames = 3;
    for (int round = 0; round < 4; round++) {
        csm_generation *g, *other;
        const csm_frame *frame;
        ok(csm_generation_open(guessing, &REQUEST(NULL, 0, text, 0), &options, &g, &err));
        for (size_t i = 0; i < want->n_frames; i++) {
            if (i == 2)
                ok(csm_generation_open(guessing, &REQUEST(NULL, 0, "Other.", 1), &short_options, &other,
                                       &err));
            ok(csm_generation_next(g, &frame, &err));
            assert_memory_equal(frame->codes, want->codes + i * want->n_codebooks,
                                want->n_codebooks * sizeof *want->codes);
            assert_memory_equal(frame->samples, want->samples + i * frame->n_samples,
                                frame->n_samples * sizeof *frame->samples);
        }
        csm_generation_close(other);
        csm_generation_close(g);
    }
    csm_result_close(want);
    csm_model_close(plain);
    csm_model_close(guessing);
}

static void it_is_refused_where_it_cannot_be(void **state)
{
    (void)state;
    csm_model_options options = csm_model_defaults();
    csm_model *model = NULL;
    options.engine = "native";
    options.precision = CSM_PRECISION_Q4;
    options.speculation = CSM_SPECULATION_ON;
    assert_int_equal(csm_model_open(model_dir(), &options, &model, &err), CSM_BAD_ARG);
    assert_non_null(strstr(err.text, "speculation"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confirmed_is_drawn),
        cmocka_unit_test(another_comes_and_goes),
        cmocka_unit_test(it_is_refused_where_it_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
