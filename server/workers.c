/* SPDX-License-Identifier: Apache-2.0 */
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct job {
    void (*work)(void *), (*done)(void *);
    void *data;
    struct job *next;
};

struct queue {
    struct job *first, **end;
};

struct workers {
    pthread_mutex_t mutex;
    pthread_cond_t is_given;
    struct queue given, finished;
    bool is_ending;
    struct event *news;
    pthread_t *threads;
    size_t n_threads;
};

static void put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static struct job *take(struct queue *queue)
{
    struct job *job = queue->first;
    if (job != NULL)
        queue->first = job->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return job;
}

static void *run(void *user)
{
    struct workers *w = user;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        struct job *job = take(&w->given);
        if (job == NULL && w->is_ending)
            break;
        if (job == NULL) {
            pthread_cond_wait(&w->is_given, &w->mutex);
            continue;
        }
        pthread_mutex_unlock(&w->mutex);
        job->work(job->data);
        pthread_mutex_lock(&w->mutex);
        put(&w->finished, job);
        event_active(w->news, 0, 0);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* What is finished meanwhile has the loop's next turn. */
static void on_news(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct workers *w = user;
    pthread_mutex_lock(&w->mutex);
    struct job *job = w->finished.first;
    w->finished = (struct queue){NULL, &w->finished.first};
    pthread_mutex_unlock(&w->mutex);
    for (struct job *next; job != NULL; job = next) {
        next = job->next;
        job->done(job->data);
        free(job);
    }
}

csm_status workers_new(struct event_base *base, size_t n_threads, struct workers **out,
                       csm_error *err)
{
    struct workers *w = calloc(1, sizeof *w);
    if (w == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "workers: out of memory");
    w->given.end = &w->given.first;
    w->finished.end = &w->finished.first;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->is_given, NULL);
    w->news = event_new(base, -1, 0, on_news, w);
    w->threads = calloc(n_threads, sizeof *w->threads);
    while (w->news != NULL && w->threads != NULL && w->n_threads < n_threads &&
           pthread_create(&w->threads[w->n_threads], NULL, run, w) == 0)
        w->n_threads++;
    if (w->n_threads < n_threads) {
        workers_free(w);
        return csm_fail(err, CSM_NO_MEMORY, "workers: no thread could be made");
    }
    *out = w;
    return CSM_OK;
}

bool workers_do(struct workers *w, void (*work)(void *job), void (*done)(void *job), void *data)
{
    struct job *job = malloc(sizeof *job);
    if (job == NULL)
        return false;
    *job = (struct job){.work = work, .done = done, .data = data};
    pthread_mutex_lock(&w->mutex);
    put(&w->given, job);
    pthread_cond_signal(&w->is_given);
    pthread_mutex_unlock(&w->mutex);
    return true;
}

void workers_free(struct workers *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    pthread_cond_broadcast(&w->is_given);
    pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    if (w->news != NULL) {
        on_news(-1, 0, w);
        event_free(w->news);
    }
    free(w->threads);
    pthread_cond_destroy(&w->is_given);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
