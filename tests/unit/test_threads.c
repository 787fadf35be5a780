/* SPDX-License-Identifier: Apache-2.0 */
#ifdef __linux__
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include "unit/cmocka_all.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cores.h"
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
        if (round == 3)
            csm_threads_rest_early(threads);
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

static void write_in_group(const char *root, const char *group, const char *file, const char *text)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", root, group);
    assert_true(mkdir(name, 0700) == 0 || errno == EEXIST);
    snprintf(name, sizeof name, "%s%s/%s", root, group, file);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_limit(const char *root, const char *group, const char *limit)
{
    write_in_group(root, group, "cpu.max", limit);
}

static void a_groups_limit_counts_whole_cores(void **state)
{
    (void)state;
    char root[] = "/tmp/csm-test-XXXXXX", name[256];
    assert_non_null(mkdtemp(root));
    assert_int_equal(csm_group_cores(root, "/"), 0);
    write_limit(root, "", "max 100000\n");
    write_limit(root, "/a", "350000 100000\n");
    write_limit(root, "/a/b", "400000 100000\n");
    write_limit(root, "/a/c", "50000 100000\n");
    write_limit(root, "/d", "max 100000\n");
    assert_int_equal(csm_group_cores(root, "/"), 0);
    assert_int_equal(csm_group_cores(root, "/a"), 3);
    assert_int_equal(csm_group_cores(root, "/a/b"), 3);
    assert_int_equal(csm_group_cores(root, "/a/c"), 1);
    assert_int_equal(csm_group_cores(root, "/d"), 0);
    assert_int_equal(csm_group_cores(root, "/not/there"), 0);
    write_limit(root, "", "200000 100000\n");
    assert_int_equal(csm_group_cores(root, "/"), 2);
    assert_int_equal(csm_group_cores(root, "/a/b"), 2);
    static const char *const groups[] = {"/a/b", "/a/c", "/a", "/d", ""};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        snprintf(name, sizeof name, "%s%s/cpu.max", root, groups[i]);
        assert_int_equal(remove(name), 0);
        snprintf(name, sizeof name, "%s%s", root, groups[i]);
        assert_int_equal(rmdir(name), 0);
    }
}

/* Version 1 of control groups: a file for the quota, -1 for none, and one for the period. */
static void a_limit_of_the_older_version_counts_too(void **state)
{
    (void)state;
    char root[] = "/tmp/csm-test-XXXXXX", name[256];
    assert_non_null(mkdtemp(root));
    write_in_group(root, "", "cpu.cfs_quota_us", "-1\n");
    write_in_group(root, "", "cpu.cfs_period_us", "100000\n");
    write_in_group(root, "/a", "cpu.cfs_quota_us", "150000\n");
    assert_int_equal(csm_group_cores(root, "/a"), 0); /* no period */
    write_in_group(root, "/a", "cpu.cfs_period_us", "50000\n");
    assert_int_equal(csm_group_cores(root, "/"), 0);
    assert_int_equal(csm_group_cores(root, "/a"), 3);
    /* In a container the path may be the host's, and the files its own. */
    write_in_group(root, "", "cpu.cfs_quota_us", "200000\n");
    assert_int_equal(csm_group_cores(root, "/docker/0123abcd"), 2);
    assert_int_equal(csm_group_cores(root, "/a"), 2);
    static const char *const left[] = {"/a/cpu.cfs_quota_us", "/a/cpu.cfs_period_us", "/a",
                                       "/cpu.cfs_quota_us", "/cpu.cfs_period_us", ""};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(name, sizeof name, "%s%s", root, left[i]);
        assert_int_equal(remove(name), 0);
    }
}

#ifdef __linux__
/* A process that may use one core begins one thread. */
static void affinity_is_obeyed(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    csm_threads *threads = NULL;
    assert_int_equal(csm_threads_new(0, &threads, NULL), CSM_OK);
    const int n = csm_threads_count(threads);
    csm_threads_free(threads);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(n, 1);
    assert_true(csm_usable_cores() >= 1 && csm_usable_cores() <= CPU_COUNT(&all));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_once),
        cmocka_unit_test(a_pool_that_fell_asleep_wakes_up),
        cmocka_unit_test(counts_out_of_range_are_refused),
        cmocka_unit_test(a_groups_limit_counts_whole_cores),
        cmocka_unit_test(a_limit_of_the_older_version_counts_too),
#ifdef __linux__
        cmocka_unit_test(affinity_is_obeyed),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
