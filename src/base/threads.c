/* SPDX-License-Identifier: Apache-2.0
 *
 * Outline: the caller writes the job, then raises `turn`; workers that see it
 * raised take pieces off `next` until none is left and lower `n_busy`; the caller
 * takes pieces too, then waits for n_busy to be 0. A worker that saw no new turn
 * for a while sleeps on the condition; the caller wakes sleepers only if there
 * are any, so that in steady state no system call is made. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

enum { MAX_THREADS = 1024, SPINS_BETWEEN_CLOCKS = 256 };
static const double spin_ms = 1.0;

struct worker {
    csm_threads *pool;
    pthread_t id;
    int index;
};

struct csm_threads {
    int count;
    int n_started;
    struct worker *workers; /* [count - 1] */

    /* the job, written before `turn` is raised */
    csm_work work;
    void *user;
    size_t n, grain;

    /* Each on a line of its own: they are written by different cores. */
    _Alignas(64) atomic_uint turn;
    _Alignas(64) atomic_size_t next;
    _Alignas(64) atomic_int n_busy;
    _Alignas(64) atomic_int n_asleep;
    atomic_bool stop;

    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void take_pieces(csm_threads *t, int thread)
{
    size_t n = t->n, grain = t->grain;
    for (;;) {
        size_t first = atomic_fetch_add_explicit(&t->next, grain, memory_order_relaxed);
        if (first >= n)
            return;
        t->work(t->user, first, n - first < grain ? n : first + grain, thread);
    }
}

/* Wait until `turn` is no longer `seen`; false: the pool ends. */
static bool wait_for_turn(csm_threads *t, unsigned seen)
{
    double start = now_ms();
    do {
        for (int i = 0; i < SPINS_BETWEEN_CLOCKS; i++) {
            if (atomic_load_explicit(&t->turn, memory_order_acquire) != seen)
                return !atomic_load(&t->stop);
            pause_briefly();
        }
    } while (now_ms() - start < spin_ms);

    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->n_asleep, 1);
    while (atomic_load(&t->turn) == seen)
        pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->n_asleep, 1);
    pthread_mutex_unlock(&t->lock);
    return !atomic_load(&t->stop);
}

static void raise_turn(csm_threads *t)
{
    atomic_fetch_add(&t->turn, 1);
    if (atomic_load(&t->n_asleep) > 0) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
    }
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    csm_threads *t = w->pool;
    for (unsigned seen = 0; wait_for_turn(t, seen); seen++) {
        take_pieces(t, w->index);
        atomic_fetch_sub_explicit(&t->n_busy, 1, memory_order_release);
    }
    return NULL;
}

static int usable_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

csm_status csm_threads_new(int n_threads, csm_threads **out, csm_error *err)
{
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return csm_fail(err, CSM_BAD_ARG, "threads: %d, expected 0 to %d", n_threads, MAX_THREADS);
    if (n_threads == 0)
        n_threads = usable_cores() < MAX_THREADS ? usable_cores() : MAX_THREADS;

    csm_threads *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (t == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "threads: no memory for the pool");
    *t = (csm_threads){.count = n_threads};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    t->workers = calloc((size_t)n_threads, sizeof *t->workers);
    if (t->workers == NULL)
        goto fail;
    for (int i = 0; i < n_threads - 1; i++) {
        struct worker *w = &t->workers[i];
        *w = (struct worker){.pool = t, .index = i + 1};
        if (pthread_create(&w->id, NULL, worker_main, w) != 0)
            goto fail;
        t->n_started++;
    }
    *out = t;
    return CSM_OK;

fail:
    csm_threads_free(t);
    return csm_fail(err, CSM_NO_MEMORY, "threads: cannot start %d threads", n_threads);
}

void csm_threads_free(csm_threads *t)
{
    if (t == NULL)
        return;
    atomic_store(&t->stop, true);
    raise_turn(t);
    for (int i = 0; i < t->n_started; i++)
        pthread_join(t->workers[i].id, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t->workers);
    free(t);
}

int csm_threads_count(const csm_threads *t)
{
    return t->count;
}

void csm_threads_run(csm_threads *t, csm_work work, void *user, size_t n, size_t grain)
{
    if (n == 0)
        return;
    if (t->count == 1 || n <= grain) {
        work(user, 0, n, 0);
        return;
    }
    t->work = work;
    t->user = user;
    t->n = n;
    t->grain = grain == 0 ? 1 : grain;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_store_explicit(&t->n_busy, t->count - 1, memory_order_relaxed);
    raise_turn(t);
    take_pieces(t, 0);
    for (int spins = 0; atomic_load_explicit(&t->n_busy, memory_order_acquire) > 0; spins++) {
        if (spins < 1 << 14)
            pause_briefly();
        else
            sched_yield(); /* more threads than cores: let the last one finish */
    }
}
