/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWERS = 256, N_OUTCOMES = 5, N_BOUNDS = 12 };

static const char *const outcomes[N_OUTCOMES] = {"stop", "length", "guard", "error", "gone"};
static const double bounds[N_BOUNDS] = {0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30};

struct histogram {
    uint64_t counts[N_BOUNDS + 1];
    double sum;
};

struct answers {
    const char *route; /* static: a route's pattern */
    int status;
    uint64_t n;
};

struct metrics {
    struct answers answers[MAX_ANSWERS];
    size_t n_answers;
    uint64_t n_broken_off, n_outcomes[N_OUTCOMES], n_frames, n_text;
    double sound_s, speech_s;
    struct histogram first, total, queued;
};

struct metrics *metrics_new(void)
{
    return calloc(1, sizeof(struct metrics));
}

void metrics_free(struct metrics *metrics)
{
    free(metrics);
}

void metrics_answered(struct metrics *m, const char *route, int status, bool has_ended)
{
    m->n_broken_off += !has_ended;
    for (size_t i = 0; i < m->n_answers; i++)
        if (m->answers[i].status == status && strcmp(m->answers[i].route, route) == 0) {
            m->answers[i].n++;
            return;
        }
    if (m->n_answers < MAX_ANSWERS)
        m->answers[m->n_answers++] = (struct answers){route, status, 1};
}

static void observe(struct histogram *h, double seconds)
{
    size_t i = 0;
    while (i < N_BOUNDS && seconds > bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
}

void metrics_spoken(struct metrics *m, const struct metrics_speech *s)
{
    for (size_t i = 0; i < N_OUTCOMES; i++)
        m->n_outcomes[i] += strcmp(outcomes[i], s->outcome) == 0;
    m->n_frames += s->n_frames;
    m->n_text += s->n_text;
    m->sound_s += s->sound_s;
    m->speech_s += s->total_s;
    if (s->first_s > 0)
        observe(&m->first, s->first_s);
    observe(&m->total, s->total_s);
    observe(&m->queued, s->queued_s);
}

static void head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_one(struct evbuffer *out, const char *name, const char *type, const char *help,
                      double value)
{
    head(out, name, type, help);
    evbuffer_add_printf(out, "%s %.17g\n", name, value);
}

static void write_histogram(struct evbuffer *out, const char *name, const char *help,
                            const struct histogram *h)
{
    uint64_t n = 0;
    head(out, name, "histogram", help);
    for (size_t i = 0; i < N_BOUNDS; i++) {
        n += h->counts[i];
        evbuffer_add_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i],
                            (unsigned long long)n);
    }
    n += h->counts[N_BOUNDS];
    evbuffer_add_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.17g\n%s_count %llu\n", name,
                        (unsigned long long)n, name, h->sum, name, (unsigned long long)n);
}

void metrics_write(const struct metrics *m, const struct metrics_now *now, struct evbuffer *out)
{
    write_one(out, "csm_requests_running", "gauge", "Speeches being drawn.", (double)now->running);
    write_one(out, "csm_requests_waiting", "gauge", "Speeches that wait for a stream.",
              (double)now->waiting);
    write_one(out, "csm_sockets", "gauge", "Open connections.", (double)now->sockets);
    write_one(out, "csm_lanes", "gauge", "Lanes of the scheduler in use.", (double)now->lanes);
    write_one(out, "csm_positions", "gauge", "Positions of keys and values that are held.",
              (double)now->positions);
    write_one(out, "csm_prefix_cache_bytes", "gauge", "Voices and contexts that are kept read.",
              (double)now->kept_bytes);
    write_one(out, "csm_frames_total", "counter", "Frames of 80 ms drawn.", (double)m->n_frames);
    write_one(out, "csm_text_tokens_total", "counter", "Tokens of text spoken.", (double)m->n_text);
    write_one(out, "csm_audio_seconds_total", "counter", "Seconds of sound made.", m->sound_s);
    write_one(out, "csm_speech_seconds_total", "counter", "Seconds in which it was made.",
              m->speech_s);
    write_one(out, "csm_http_broken_off_total", "counter",
              "Answers whose client left before their end.", (double)m->n_broken_off);
    head(out, "csm_speech_total", "counter", "Speeches by how they ended.");
    for (size_t i = 0; i < N_OUTCOMES; i++)
        evbuffer_add_printf(out, "csm_speech_total{outcome=\"%s\"} %llu\n", outcomes[i],
                            (unsigned long long)m->n_outcomes[i]);
    head(out, "csm_http_requests_total", "counter", "Requests by route and status.");
    for (size_t i = 0; i < m->n_answers; i++)
        evbuffer_add_printf(out, "csm_http_requests_total{route=\"%s\",status=\"%d\"} %llu\n",
                            m->answers[i].route, m->answers[i].status,
                            (unsigned long long)m->answers[i].n);
    write_histogram(out, "csm_first_sound_seconds", "From a request to its first sound.", &m->first);
    write_histogram(out, "csm_speech_duration_seconds", "From a request to its end.", &m->total);
    write_histogram(out, "csm_queue_seconds", "Waiting for a stream.", &m->queued);
}
