/* SPDX-License-Identifier: Apache-2.0
 *
 * Outline: every thread has a share of the loop's items, a stretch of its own, so
 * that what it reads is one long stream. A share's 64-bit ticket says of which loop
 * it is and which items are left; its owner takes pieces from the front, others,
 * when their own is empty, from the back. Whoever changes a ticket by
 * compare-and-swap has those items, and the job cannot change before they are
 * counted in `n_done`. So the caller waits for items under way, never for a worker:
 * one that the system has not let run, on a machine that others use too, just takes
 * nothing. Workers that find nothing for a while sleep on the condition; the caller
 * wakes sleepers only if there are any, so that in steady state no system call is
 * made. */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arithmetic.h"
#include "base/clock.h"
#include "base/cores.h"
#include "base/error.h"

/* A worker's stack: kernels keep up to 170 KiB on it, more than musl gives a thread. */
enum { STACK_BYTES = 1 << 20 };
enum { MAX_THREADS = 1024, SPINS_BETWEEN_CLOCKS = 256, MAX_ITEMS = (1 << 20) - 1 };
static const double spin_ms = 1.0, spin_early_ms = 0.1;

struct worker {
    csm_threads *pool;
    pthread_t id;
    int index;
};

/* On a line of its own: written by different cores. */
struct share {
    _Alignas(64) atomic_uint_least64_t ticket; /* turn: 24 bits, end: 20, next: 20 */
};

struct csm_threads {
    int count;
    int n_started;
    struct worker *workers; /* [count - 1] */

    /* the job, written before the tickets that open it */
    csm_work work;
    void *user;
    atomic_size_t grain;

    struct share *shares; /* [count] */
    _Alignas(64) atomic_uint_least64_t turn; /* counts loops: workers wait for the next */
    _Alignas(64) atomic_size_t n_done;
    _Alignas(64) atomic_int n_asleep;
    atomic_bool stop, rests_early;

    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static size_t end_of(uint64_t ticket)
{
    return (size_t)(ticket >> 20 & MAX_ITEMS);
}

static size_t next_of(uint64_t ticket)
{
    return (size_t)(ticket & MAX_ITEMS);
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Work through what is left of one share, from its front or its back: a quarter of
 * it at a time, so that pieces are long at first and all end at about the same time. */
static void take_pieces(csm_threads *t, struct share *share, bool from_front, int thread)
{
    uint64_t ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
    while (next_of(ticket) < end_of(ticket)) {
        size_t next = next_of(ticket), end = end_of(ticket), n = (end - next + 3) / 4;
        /* The grain may already be that of a later loop; then the exchange fails. */
        size_t grain = atomic_load_explicit(&t->grain, memory_order_relaxed);
        n = n < grain ? grain : n;
        n = n < end - next ? n : end - next;
        uint64_t rest = from_front ? ticket + n : ticket - ((uint64_t)n << 20);
        if (!atomic_compare_exchange_weak_explicit(&share->ticket, &ticket, rest,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        size_t first = from_front ? next : end - n;
        t->work(t->user, first, first + n, thread);
        atomic_fetch_add_explicit(&t->n_done, n, memory_order_release);
        ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
    }
}

static void take_part(csm_threads *t, int thread)
{
    take_pieces(t, &t->shares[thread], true, thread);
    for (int i = 1; i < t->count; i++)
        take_pieces(t, &t->shares[(thread + i) % t->count], false, thread);
}

/* Wait for another loop than `turn`, which becomes that one's; false: the pool ends. */
static bool wait_for_work(csm_threads *t, uint64_t *turn)
{
    uint64_t last = *turn;
    const double until = csm_now_ms() + (atomic_load(&t->rests_early) ? spin_early_ms : spin_ms);
    do {
        for (int i = 0; i < SPINS_BETWEEN_CLOCKS; i++) {
            if (atomic_load_explicit(&t->stop, memory_order_relaxed))
                return false;
            *turn = atomic_load_explicit(&t->turn, memory_order_acquire);
            if (*turn != last)
                return true;
            pause_briefly();
        }
    } while (csm_now_ms() < until);

    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->n_asleep, 1);
    while ((*turn = atomic_load(&t->turn)) == last && !atomic_load(&t->stop))
        pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->n_asleep, 1);
    pthread_mutex_unlock(&t->lock);
    return !atomic_load(&t->stop);
}

static void wake_sleepers(csm_threads *t)
{
    if (atomic_load(&t->n_asleep) > 0) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
    }
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    uint64_t turn = 0;
    csm_arithmetic_of_thread();
    while (wait_for_work(w->pool, &turn))
        take_part(w->pool, w->index);
    return NULL;
}

static bool start_worker(struct worker *w)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    bool is_started = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
                      pthread_create(&w->id, &attributes, worker_main, w) == 0;
    pthread_attr_destroy(&attributes);
    return is_started;
}

csm_status csm_threads_new(int n_threads, csm_threads **out, csm_error *err)
{
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return csm_fail(err, CSM_BAD_ARG, "threads: %d, expected 0 to %d", n_threads, MAX_THREADS);
    if (n_threads == 0)
        n_threads = csm_usable_cores();
    n_threads = n_threads < MAX_THREADS ? n_threads : MAX_THREADS;

    csm_threads *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (t == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "threads: no memory for the pool");
    *t = (csm_threads){.count = n_threads};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    t->workers = calloc((size_t)n_threads, sizeof *t->workers);
    t->shares = aligned_alloc(64, (size_t)n_threads * sizeof *t->shares);
    if (t->workers == NULL || t->shares == NULL)
        goto fail;
    for (int i = 0; i < n_threads; i++)
        atomic_init(&t->shares[i].ticket, 0);
    for (int i = 0; i < n_threads - 1; i++) {
        struct worker *w = &t->workers[i];
        *w = (struct worker){.pool = t, .index = i + 1};
        if (!start_worker(w))
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
    wake_sleepers(t);
    for (int i = 0; i < t->n_started; i++)
        pthread_join(t->workers[i].id, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t->shares);
    free(t->workers);
    free(t);
}

void csm_threads_rest_early(csm_threads *t)
{
    atomic_store(&t->rests_early, true);
}

int csm_threads_count(const csm_threads *t)
{
    return t->count;
}

static void run_loop(csm_threads *t, csm_work work, void *user, size_t n, size_t grain)
{
    uint64_t turn = atomic_load_explicit(&t->turn, memory_order_relaxed) + 1;
    size_t count = (size_t)t->count;
    t->work = work;
    t->user = user;
    atomic_store_explicit(&t->grain, grain, memory_order_relaxed);
    atomic_store_explicit(&t->n_done, 0, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        uint64_t first = n * i / count, end = n * (i + 1) / count;
        atomic_store_explicit(&t->shares[i].ticket, turn << 40 | end << 20 | first,
                              memory_order_release);
    }
    atomic_store(&t->turn, turn);
    wake_sleepers(t);
    take_part(t, 0);
    for (int spins = 0; atomic_load_explicit(&t->n_done, memory_order_acquire) < n; spins++) {
        if (spins < 1 << 12)
            pause_briefly();
        else
            sched_yield(); /* the one that has the last items may be waiting for this core */
    }
}

/* Items first..end-1 of a loop longer than a ticket can say. */
struct section {
    csm_work work;
    void *user;
    size_t first;
};

static void section_work(void *user, size_t first, size_t end, int thread)
{
    const struct section *s = user;
    s->work(s->user, s->first + first, s->first + end, thread);
}

void csm_threads_run(csm_threads *t, csm_work work, void *user, size_t n, size_t grain)
{
    grain = grain == 0 ? 1 : (grain < MAX_ITEMS ? grain : MAX_ITEMS);
    if (t->count == 1 || n <= grain) {
        if (n > 0)
            work(user, 0, n, 0);
        return;
    }
    if (n <= MAX_ITEMS) {
        run_loop(t, work, user, n, grain);
        return;
    }
    for (size_t first = 0; first < n; first += MAX_ITEMS) {
        struct section section = {work, user, first};
        run_loop(t, section_work, &section, n - first < MAX_ITEMS ? n - first : MAX_ITEMS, grain);
    }
}
