/* SPDX-License-Identifier: Apache-2.0
 *
 * speech_streams.c - so many speeches at once as there are streams, others in a queue, and the
 * news of the scheduler's thread. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "speech_parts.h"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- news --------------------------------------------------------------------- */

/* Tell the owner, on the loop's next turn. */
void speech_tell(struct speech *s)
{
    if (s->has_news)
        return;
    s->has_news = true;
    TAILQ_INSERT_TAIL(&s->all->told, s, told);
    event_active(s->all->news, 0, 0);
}

/* The scheduler's thread. */
void notice_on_ready(void *user)
{
    struct notice *n = user;
    struct speeches *all = n->all;
    pthread_mutex_lock(&all->mutex);
    const bool is_first = !n->is_listed;
    if (is_first) {
        n->is_listed = true;
        n->next = all->listed;
        all->listed = n;
    }
    pthread_mutex_unlock(&all->mutex);
    if (is_first)
        event_active(all->news, 0, 0);
}

static void on_news(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct speeches *all = user;
    pthread_mutex_lock(&all->mutex);
    struct notice *n = all->listed;
    all->listed = NULL;
    for (struct notice *next; n != NULL; n = next) {
        next = n->next;
        n->is_listed = false;
        if (n->speech != NULL && !n->speech->has_news) {
            n->speech->has_news = true;
            TAILQ_INSERT_TAIL(&all->told, n->speech, told);
        }
    }
    pthread_mutex_unlock(&all->mutex);
    size_t n_told = 0;
    struct speech *s;
    TAILQ_FOREACH(s, &all->told, told)
        n_told++;
    /* An owner may close any speech, and others may get news meanwhile: those have the
     * loop's next turn. */
    while (n_told-- > 0 && (s = TAILQ_FIRST(&all->told)) != NULL) {
        TAILQ_REMOVE(&all->told, s, told);
        s->has_news = false;
        s->on_news(s->owner);
    }
    if (!TAILQ_EMPTY(&all->told))
        event_active(all->news, 0, 0);
}

void notice_free(void *job)
{
    struct notice *n = job;
    struct speeches *all = n->all;
    pthread_mutex_lock(&all->mutex);
    if (n->is_listed) {
        struct notice **at = &all->listed;
        while (*at != n)
            at = &(*at)->next;
        *at = n->next;
    }
    pthread_mutex_unlock(&all->mutex);
    free(n);
}

/* ---- streams ---------------------------------------------------------------------- */

/* Give free streams to those that wait longest. */
static void admit(struct speeches *all)
{
    struct speech *s;
    while (all->n_running < all->max_streams && (s = TAILQ_FIRST(&all->queue)) != NULL) {
        TAILQ_REMOVE(&all->queue, s, entry);
        all->n_waiting--;
        all->n_running++;
        s->place = RUNNING;
        s->queued_s += now_s() - s->queued_at;
        speech_tell(s);
    }
}

void speech_want_stream(struct speech *s)
{
    if (s->place != IDLE)
        return;
    struct speeches *all = s->all;
    s->place = QUEUED;
    s->queued_at = now_s();
    TAILQ_INSERT_TAIL(&all->queue, s, entry);
    all->n_waiting++;
    admit(all);
}

void speech_leave_stream(struct speech *s)
{
    struct speeches *all = s->all;
    if (s->place == RUNNING)
        all->n_running--;
    if (s->place == QUEUED) {
        TAILQ_REMOVE(&all->queue, s, entry);
        all->n_waiting--;
        s->queued_s += now_s() - s->queued_at;
    }
    s->place = IDLE;
    admit(all);
}

double speech_queued_s(const struct speech *s)
{
    return s->queued_s + (s->place == QUEUED ? now_s() - s->queued_at : 0);
}

/* ---- all --------------------------------------------------------------------------- */

csm_status speeches_new(struct event_base *base, csm_model *const *models, size_t n_models,
                        struct workers *workers, size_t max_streams, size_t max_queue,
                        struct speeches **out, csm_error *err)
{
    if (n_models < 1 || n_models > MAX_MODELS)
        return csm_fail(err, CSM_BAD_ARG, "speeches: %zu models, expected 1 to %d", n_models, MAX_MODELS);
    struct speeches *all = calloc(1, sizeof *all);
    if (all != NULL)
        all->news = event_new(base, -1, 0, on_news, all);
    if (all == NULL || all->news == NULL) {
        free(all);
        return csm_fail(err, CSM_NO_MEMORY, "speeches: out of memory");
    }
    csm_status st = csm_text_rules_open(&all->rules, err);
    if (st != CSM_OK) {
        event_free(all->news);
        free(all);
        return st;
    }
    memcpy(all->models, models, n_models * sizeof *models);
    all->n_models = n_models;
    all->model = models[0];
    all->info = csm_model_describe(models[0]);
    all->workers = workers;
    all->max_streams = max_streams;
    all->max_queue = max_queue;
    TAILQ_INIT(&all->queue);
    TAILQ_INIT(&all->told);
    pthread_mutex_init(&all->mutex, NULL);
    *out = all;
    return CSM_OK;
}

void speeches_free(struct speeches *all)
{
    if (all == NULL)
        return;
    event_free(all->news);
    csm_text_rules_close(all->rules);
    pthread_mutex_destroy(&all->mutex);
    free(all);
}

const csm_text_rules *speeches_rules(const struct speeches *all)
{
    return all->rules;
}

size_t speeches_running(const struct speeches *all)
{
    return all->n_running;
}

size_t speeches_waiting(const struct speeches *all)
{
    return all->n_waiting;
}

bool speeches_is_full(const struct speeches *all)
{
    return all->n_running >= all->max_streams && all->n_waiting >= all->max_queue;
}

void speeches_stop(struct speeches *all)
{
    all->is_stopped = true;
    struct speech *s;
    while ((s = TAILQ_FIRST(&all->queue)) != NULL) {
        speech_fail(s, csm_fail(&s->error, CSM_CANCELLED, "the server is ending"));
        speech_tell(s);
    }
}
