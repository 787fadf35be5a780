/* SPDX-License-Identifier: Apache-2.0
 *
 * service.h - what the routes of one server share. One thread: the event loop's. */
#ifndef CSM_SERVER_SERVICE_H
#define CSM_SERVER_SERVICE_H

#include <sys/queue.h>

#include "http.h"
#include "keys.h"
#include "metrics.h"
#include "server.h"
#include "speech.h"
#include "speech_request.h"
#include "voice_store.h"
#include "workers.h"

/* A client that stays: told when the server ends, so that it takes nothing new. */
struct guest {
    void (*on_end)(void *owner);
    void *owner;
    TAILQ_ENTRY(guest) entry;
};
TAILQ_HEAD(guest_list, guest);

enum { MAX_DEVICES = 16 };

struct service {
    const struct serve_options *options;
    struct event_base *base;
    struct connections *connections;
    struct http *http;
    struct workers *workers;  /* for what takes long: recordings, models, waiting */
    struct workers *encoders; /* for sound, which is waited for */
    struct metrics *metrics;
    struct guest_list guests;
    struct keys keys;
    bool is_ending;

    /* NULL until the model is open, on every device. */
    csm_model *models[MAX_DEVICES]; /* [n_models] */
    size_t n_models;
    csm_model *model; /* the first: it encodes recordings */
    const csm_model_info *info;
    struct speeches *speeches;
    struct voice_store *voices;
    struct request_limits limits;
    time_t began;
};

/* Whether requests can be spoken: 503 is answered if not. */
bool service_is_ready(const struct service *service);

#endif
