/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"

enum { N = 1000 };

struct counts {
    atomic_int items[N];
    atomic_int strange_threads;
    int n_threads;
};

static void count(void *user, size_t first, size_t end, int thread)
{
    struct counts *c = user;
    if (thread < 0 || thread >= c->n_threads)
        atomic_fetch_add(&c->strange_threads, 1);
    for (size_t i = first; i < end; i++)
        atomic_fetch_add(&c->items[i], 1);
}

static void every_item_is_done_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++) {
        csm_threads *threads = NULL;
        assert_int_equal(csm_threads_new(n, &threads, NULL), CSM_OK);
        assert_int_equal(csm_threads_count(threads), n);
        struct counts *c = calloc(1, sizeof *c);
        c->n_threads = n;
        int rounds = 0;
        for (size_t items = 0; items <= N; items += 53)
            for (size_t grain = 1; grain < 64; grain *= 3, rounds++) {
                for (size_t i = 0; i < N; i++)
                    atomic_store(&c->items[i], 0);
                csm_threads_run(threads, count, c, items, grain);
                for (size_t i = 0; i < N; i++)
                    assert_int_equal(atomic_load(&c->items[i]), i < items ? 1 : 0);
            }
        assert_int_equal(atomic_load(&c->strange_threads), 0);
        free(c);
        csm_threads_free(threads);
    }
}

static void a_pool_that_fell_asleep_wakes_up(void **state)
{
    (void)state;
    csm_threads *threads = NULL;
    assert_int_equal(csm_threads_new(3, &threads, NULL), CSM_OK);
    struct counts *c = calloc(1, sizeof *c);
    c->n_threads = 3;
    for (int round = 1; round <= 5; round++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        csm_threads_run(threads, count, c, N, 10);
        for (size_t i = 0; i < N; i++)
            assert_int_equal(atomic_load(&c->items[i]), round);
    }
    csm_threads_free(threads);
    free(c);
}

static void counts_out_of_range_are_refused(void **state)
{
    (void)state;
    csm_threads *threads = NULL;
    assert_int_equal(csm_threads_new(-1, &threads, NULL), CSM_BAD_ARG);
    assert_int_equal(csm_threads_new(100000, &threads, NULL), CSM_BAD_ARG);
    assert_null(threads);
    csm_threads_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_once),
        cmocka_unit_test(a_pool_that_fell_asleep_wakes_up),
        cmocka_unit_test(counts_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
