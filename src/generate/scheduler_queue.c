/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler_queue.c - who comes to the scheduler's thread and goes again, and what the reader of a
 * generation sees of it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "generate/pace.h"
#include "generate/scheduler_parts.h"

/* ---- what the reader sees ------------------------------------------------------------ */

static void fill_report(csm_generation *g)
{
    const csm_model *m = g->model;
    const struct csm_settings *s = &g->settings;
    csm_report *r = &g->work;
    r->strategy = s->strategy;
    r->reason = s->reason;
    r->engine = g->host->engine.ops->name;
    r->engine_version = g->host->engine.ops->version(g->host->engine.ctx);
    r->codec_engine = m->info.codec_engine;
    r->stream = s->is_greedy ? "none" : csm_stream_name(s->stream);
    r->sampler = csm_sampler_name(s->sampler);
    r->dtype = csm_settings_dtype_name(s->dtype);
    r->seed = s->seed;
    r->temperature = s->first.temperature;
    r->depth_temperature = s->depth.temperature;
    r->top_k = s->first.top_k;
    r->depth_top_k = s->depth.top_k;
    r->top_p = s->first.top_p;
    r->depth_top_p = s->depth.top_p;
    r->min_p = s->first.min_p;
    r->depth_min_p = s->depth.min_p;
    const struct csm_engine_bits *bits = &g->host->engine.bits;
    memcpy(r->library, bits->library, sizeof r->library);
    memcpy(r->processor, bits->processor, sizeof r->processor);
    r->n_threads = bits->n_threads > 0 ? bits->n_threads : m->info.n_threads;
    r->cutoffs = s->first.cutoffs;
    r->depth_cutoffs = s->depth.cutoffs;
    r->code_rules = csm_checkpoint_config(m->checkpoint)->generation.rule_names;
    r->n_prompt = g->n_prompt;
    r->encode_ms = g->encode_ms;
    if (r->guarded == NULL)
        r->guarded = "";
    r->adapter = g->adapter > 0 ? g->model->adapters[g->adapter - 1] : "";
    const char *version = s->mlx_version[0] != '\0' ? s->mlx_version : "newest known";
    strcpy(r->mlx_version, s->stream == CSM_STREAM_MLX ? version : "");
}

/* Under the lock. */
static void publish(csm_generation *g)
{
    const size_t n_frames = g->report.n_frames;
    g->report = g->work;
    g->report.n_frames = n_frames;
}

static void call(const csm_generation *g)
{
    if (g->notify != NULL)
        g->notify(g->notify_user);
    if (g->on_ready != NULL)
        g->on_ready(g->user);
}

void csm_scheduler_hand_over(struct csm_scheduler *s, csm_generation *g)
{
    fill_report(g);
    if (g->n_sound == 1)
        g->heard_from_ms = csm_now_ms();
    pthread_mutex_lock(&s->lock);
    g->n_put = g->n_sound;
    s->load.n_frames++;
    publish(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&s->lock);
    call(g);
}

/* It is over for the reader, then nobody's but the reader's. */
void csm_scheduler_let_go(struct csm_scheduler *s, csm_generation *g, csm_status st,
                          const csm_error *err)
{
    fill_report(g);
    pthread_mutex_lock(&s->lock);
    g->status = st;
    if (st != CSM_OK)
        g->error = *err;
    g->phase = CSM_PHASE_OVER;
    publish(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&s->lock);
    call(g);
    pthread_mutex_lock(&s->lock);
    g->is_let_go = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- coming and going ----------------------------------------------------------------- */

static bool make_room(struct csm_scheduler *s, size_t n, csm_error *err)
{
    if (n > s->n_rooms) {
        size_t n_rooms = 2 * n;
        csm_generation **lanes = realloc(s->lanes, n_rooms * sizeof *lanes);
        if (lanes == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "generation: %zu side by side", n) == CSM_OK;
        s->lanes = lanes;
        s->n_rooms = n_rooms;
    }
    return csm_scratch_reserve(&s->scratch, s->model, s->n_rooms, err) == CSM_OK;
}

static csm_generation *pop(struct csm_scheduler *s)
{
    csm_generation *g = s->first;
    s->first = g->next;
    if (s->first == NULL)
        s->last = NULL;
    s->n_queued--;
    g->phase = CSM_PHASE_TAKEN;
    return g;
}

static bool is_gone(const struct csm_scheduler *s, const csm_generation *g)
{
    return g->is_cancelled || g->is_closing || s->is_stopping;
}

/* From the queue, under the lock, which is given up where one cannot be taken. */
void csm_scheduler_admit(struct csm_scheduler *s)
{
    const csm_error cancelled = {"generation: cancelled"};
    csm_error err;
    csm_generation **link = &s->first;
    csm_generation *last = NULL;
    while (*link != NULL) { /* who left the queue again, wherever in it */
        csm_generation *g = *link;
        if (!is_gone(s, g)) {
            last = g;
            link = &g->next;
            continue;
        }
        *link = g->next;
        s->n_queued--;
        if (s->last == g)
            s->last = last;
        pthread_mutex_unlock(&s->lock);
        csm_scheduler_let_go(s, g, CSM_CANCELLED, &cancelled);
        pthread_mutex_lock(&s->lock);
        link = &s->first; /* it may have changed meanwhile */
        last = NULL;
    }
    while (s->first != NULL && (s->max_lanes == 0 || s->n_lanes < s->max_lanes)) {
        if (make_room(s, s->n_lanes + 1, &err)) {
            s->lanes[s->n_lanes++] = pop(s);
            continue;
        }
        csm_generation *g = pop(s);
        pthread_mutex_unlock(&s->lock);
        csm_scheduler_let_go(s, g, CSM_NO_MEMORY, &err);
        pthread_mutex_lock(&s->lock);
    }
}

/* Under the lock: what each wants; whether there is anything to do. */
bool csm_scheduler_look(struct csm_scheduler *s)
{
    bool has_work = false;
    csm_load *load = &s->load;
    load->n_running = s->n_lanes;
    load->n_waiting = s->n_queued;
    load->n_paused = load->n_positions = 0;
    load->kept_bytes = csm_prefixes_bytes(&s->prefixes);
    for (size_t i = 0; i < s->n_lanes; i++) {
        csm_generation *g = s->lanes[i];
        g->is_leaving = is_gone(s, g);
        g->has_room = g->n_put + g->is_waiting - g->n_taken < g->settings.n_ahead;
        load->n_paused += !g->has_room;
        load->n_positions += g->sequence.n_positions;
        has_work = has_work || g->is_leaving || !csm_pace_is_speaking(g) || g->has_room ||
                   g->is_waiting;
    }
    return has_work;
}

/* ---- from outside --------------------------------------------------------------------------- */

csm_status csm_scheduler_enter(struct csm_scheduler *s, csm_generation *g, csm_error *err)
{
    csm_status st = csm_turns_check(&s->model->turns, err);
    if (st != CSM_OK)
        return st;
    fill_report(g);
    pthread_mutex_lock(&s->lock);
    if (!s->has_thread)
        s->has_thread = pthread_create(&s->thread, NULL, csm_scheduler_run, s) == 0;
    if (!s->has_thread) {
        st = csm_fail(err, CSM_NO_MEMORY, "generation: no thread to be had");
    } else {
        publish(g);
        g->next = NULL;
        if (s->last != NULL)
            s->last->next = g;
        else
            s->first = g;
        s->last = g;
        s->n_queued++;
        csm_scheduler_wake(s);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

void csm_scheduler_wake(struct csm_scheduler *s)
{
    s->is_awake = true;
    pthread_cond_signal(&s->work);
}
