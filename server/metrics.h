/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h - what is counted, for GET /metrics. */
#ifndef CSM_SERVER_METRICS_H
#define CSM_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/buffer.h>

struct metrics;

struct metrics *metrics_new(void); /* NULL: out of memory */
void metrics_free(struct metrics *metrics);

void metrics_answered(struct metrics *m, const char *route, int status, bool has_ended);

/* A speech is over. Seconds: sound made, from its request to its first byte, to its end,
 * waiting for a stream. */
struct metrics_speech {
    const char *outcome; /* "stop", "length", "guard", "error", "gone" */
    double sound_s, first_s, total_s, queued_s;
    size_t n_frames, n_text;
};
void metrics_spoken(struct metrics *m, const struct metrics_speech *speech);

/* What is so at this moment. */
struct metrics_now {
    size_t running, waiting, sockets, lanes, positions, kept_bytes;
};
/* In Prometheus' text format. */
void metrics_write(const struct metrics *m, const struct metrics_now *now, struct evbuffer *out);

#endif
