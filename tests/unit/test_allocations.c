/* SPDX-License-Identifier: Apache-2.0
 *
 * An allocation fails: opening a model, four generations side by side, cancelling one, closing.
 * Whichever it is, there is a clean error or the right result, and what comes next works.
 *
 * CSM_ALLOCATION_STEP (default 7) is the distance between those that are made to fail; 1 is
 * each. The library's calls of the allocator are the linker's to wrap (tests/CMakeLists.txt);
 * those inside of other libraries are not. */
#include "unit/cmocka_all.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "unit/request.h"

enum { N = 4, FRAMES = 3, CODEBOOKS = 8 };

static atomic_long n_until; /* the n-th allocation from now on fails; 0 and below: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool fails(void)
{
    return atomic_fetch_sub(&n_until, 1) == 1;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static csm_result *alone[N];

static csm_request request_of(int i)
{
    static const char *const texts[N] = {"Hello.", "How are you today?", "Fine.", "Hello."};
    return csm_request_of(texts[i], i % 2);
}

static csm_generate_options options_of(int i)
{
    csm_generate_options options = csm_generate_defaults();
    options.strategy = CSM_STRATEGY_EXACT;
    options.seed = (uint64_t)i;
    options.max_frames = FRAMES;
    options.without_sound = i == 2;
    return options;
}

static csm_status open_model(csm_model **model, csm_error *err)
{
    csm_model_options options = csm_model_defaults();
    options.engine = "native";
    options.n_threads = 1;
    return csm_model_open(CSM_SOURCE_DIR "/tests/golden/csm-a", &options, model, err);
}

static void must_be_memory(csm_status st, const csm_error *err)
{
    atomic_store(&n_until, 0); /* it has happened */
    if (st != CSM_NO_MEMORY)
        fail_msg("status %d: %s, expected no memory", (int)st, err->text);
}

/* Reads one to its end; what comes is right, or there is no memory. */
static void read_all(csm_generation *g, int i)
{
    csm_error err;
    const csm_frame *frame = NULL;
    csm_status st;
    size_t n = 0;
    while ((st = csm_generation_next(g, &frame, &err)) == CSM_OK && frame != NULL) {
        assert_memory_equal(frame->codes, alone[i]->codes + frame->index * CODEBOOKS,
                            CODEBOOKS * sizeof *frame->codes);
        n++;
    }
    if (st != CSM_OK)
        must_be_memory(st, &err);
    else
        assert_int_equal(n, alone[i]->n_frames);
}

static void live(void)
{
    csm_error err;
    csm_model *model = NULL;
    csm_generation *all[N] = {NULL};
    csm_status st = open_model(&model, &err);
    if (st != CSM_OK) { /* of a file that could not be looked for, that it is missing; of one that
                         * could not be read, that it is bad */
        atomic_store(&n_until, 0);
        if (st != CSM_BAD_FILE && st != CSM_BAD_FORMAT)
            must_be_memory(st, &err);
        assert_null(model);
        return;
    }
    for (int i = 0; i < N; i++) {
        const csm_request request = request_of(i);
        const csm_generate_options options = options_of(i);
        st = csm_generation_open(model, &request, &options, &all[i], &err);
        if (st != CSM_OK)
            must_be_memory(st, &err);
    }
    if (all[3] != NULL)
        csm_generation_cancel(all[3]);
    for (int i = 0; i < N - 1; i++)
        if (all[i] != NULL)
            read_all(all[i], i);
    for (int i = 0; i < N; i++)
        csm_generation_close(all[i]);

    atomic_store(&n_until, 0);
    csm_result *result = NULL;
    const csm_request request = request_of(0);
    const csm_generate_options options = options_of(0);
    if (csm_generate(model, &request, &options, &result, &err) != CSM_OK)
        fail_msg("the next one: %s", err.text);
    assert_memory_equal(result->codes, alone[0]->codes,
                        result->n_frames * CODEBOOKS * sizeof *result->codes);
    csm_result_close(result);
    csm_model_close(model);
}

static void whichever_fails_the_next_one_works(void **state)
{
    (void)state;
    csm_error err;
    csm_model *model = NULL;
    const char *asked = getenv("CSM_ALLOCATION_STEP");
    const long step = asked != NULL ? strtol(asked, NULL, 10) : 7;
    assert_int_equal(open_model(&model, &err), CSM_OK);
    for (int i = 0; i < N; i++) {
        const csm_request request = request_of(i);
        const csm_generate_options options = options_of(i);
        assert_int_equal(csm_generate(model, &request, &options, &alone[i], &err), CSM_OK);
    }
    csm_model_close(model);
    const long many = 1L << 40;
    atomic_store(&n_until, many);
    csm_result *first = NULL; /* how many there are: what live does, until it stops counting */
    assert_int_equal(open_model(&model, &err), CSM_OK);
    for (int i = 0; i < N; i++) {
        const csm_request request = request_of(i);
        const csm_generate_options options = options_of(i);
        assert_int_equal(csm_generate(model, &request, &options, &first, &err), CSM_OK);
        csm_result_close(first);
    }
    csm_model_close(model);
    const long n = many - atomic_load(&n_until);
    print_message("%ld allocations\n", n);
    for (long k = 1; k <= n; k += step) {
        atomic_store(&n_until, k);
        live();
        atomic_store(&n_until, 0);
    }
    for (int i = 0; i < N; i++)
        csm_result_close(alone[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whichever_fails_the_next_one_works)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
