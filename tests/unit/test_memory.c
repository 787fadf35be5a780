/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of a long generation, with the embedded voice: what 1,000 frames have
 * resident at most beyond 100 is the backbone's keys and values. */
#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <sys/resource.h>

#include <csm/csm.h>

#include "unit/request.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED
#elif defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED
#endif
#endif

static size_t most_resident_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss / 1024;
#else
    return (size_t)usage.ru_maxrss;
#endif
}

/* Returns the most that was ever resident after n_frames with sound. */
static size_t generate(csm_model *model, size_t n_frames)
{
    csm_generation *g;
    const csm_frame *frame;
    csm_error err;
    csm_generate_options options = csm_generate_defaults();
    options.max_frames = options.min_frames = n_frames;
    csm_status st = csm_generation_open(model, &REQUEST(NULL, 0, "On and on.", 0), &options, &g, &err);
    if (st != CSM_OK)
        fail_msg("%s", err.text);
    size_t n = 0;
    while ((st = csm_generation_next(g, &frame, &err)) == CSM_OK && frame != NULL)
        n++;
    if (st != CSM_OK)
        fail_msg("%s", err.text);
    assert_int_equal(n, n_frames);
    csm_generation_close(g);
    return most_resident_kb();
}

static void a_long_generation_grows_by_its_caches_alone(void **state)
{
    (void)state;
#ifdef IS_SANITIZED
    skip(); /* a sanitizer keeps what is freed resident */
#endif
    enum { FEW = 100, MANY = 1000, SLACK_KB = 1024 };
    csm_model *model;
    csm_error err;
    const csm_model_options options = {.size = sizeof(csm_model_options), .engine = "native", .strategy = CSM_STRATEGY_EXACT};
    if (csm_model_open(CSM_SOURCE_DIR "/voice/model", &options, &model, &err) != CSM_OK)
        fail_msg("%s", err.text);
    const csm_transformer_info *t = &csm_model_describe(model)->backbone;
    size_t few = generate(model, FEW);
    size_t many = generate(model, MANY);
    /* Keys, values; cosine and sine of a position; float32. */
    size_t a_position = (2 * t->n_layers * t->n_kv_heads * t->head_dim + t->head_dim) * 4;
    size_t caches_kb = a_position * (MANY - FEW) / 1024;
    print_message("%zu KB after %d frames, %zu more after %d, of them caches %zu\n", few, FEW,
                  many - few, MANY, caches_kb);
    /* Slack: pages that are touched in part, one a layer, head, keys and values. */
    assert_true(many - few <= caches_kb + SLACK_KB);
    assert_true(many - few >= caches_kb / 2); /* the caches are what grows */
    csm_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_generation_grows_by_its_caches_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
