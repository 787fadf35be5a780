/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_request.h - asking the hub: redirects, which of the hosts learns the token,
 * trying again, and what a refusal means. */
#ifndef CSM_HUB_REQUEST_H
#define CSM_HUB_REQUEST_H

#include "hub/hub_settings.h"
#include "hub/transport.h"

/* Where a body goes. */
struct csm_hub_sink {
    /* A request is about to be made. May be NULL. */
    void (*begin)(void *user);
    /* From which byte on it is wanted. NULL: from the first. */
    uint64_t (*first_byte)(void *user);
    /* A piece; `reply` is the head that it came with. */
    csm_status (*take)(void *user, const struct csm_reply *reply, const void *bytes, size_t n,
                       csm_error *err);
    /* Whether it is all there, once a transfer has ended without failure. NULL: yes. */
    bool (*is_complete)(void *user);
    /* The head of the hub's own answer, a redirect's too, before any storage's. May be NULL. */
    csm_status (*check)(void *user, const struct csm_reply *reply, csm_error *err);
    void *user;
};

/* Get a URL of the hub's.
 *
 *   what       for messages: "ORG/NAME: config.json"
 *   is_file    a file, which may take its time and is worth five tries of a host that
 *              does not answer; else metadata
 *   reply      receives the last answer's head
 *
 * At most ten redirects, to HTTP or HTTPS, never from HTTPS to HTTP. The token goes
 * to the endpoint and to huggingface.co alone. Tries again after 408, 429, 5xx and
 * broken transfers, when Retry-After says or 0.5, 1, 2, 4 seconds later, up to five
 * times, counted anew whenever bytes have come.
 *
 * Returns CSM_OK; CSM_BAD_FILE for any refusal, said as what it is, and when no answer
 * comes: reply->is_transient tells a hub that does not answer from one that refuses;
 * CSM_BAD_FORMAT; CSM_CANCELLED; CSM_NO_MEMORY; what the sink returned. */
CSM_MUST_USE csm_status csm_hub_get(struct csm_hub *hub, struct csm_transport *transport,
                                    const char *url, const char *what, bool is_file,
                                    const struct csm_hub_sink *sink, struct csm_reply *reply,
                                    csm_error *err);

/* Get a URL of the hub's whole, at most 16 MB. `*bytes` is to be freed. */
CSM_MUST_USE csm_status csm_hub_get_text(struct csm_hub *hub, struct csm_transport *transport,
                                         const char *url, const char *what, char **bytes, size_t *n,
                                         struct csm_reply *reply, csm_error *err);

/* The endpoint and `parts` up to NULL, the last one escaped (with its slashes kept if
 * `keeps_slashes`), to be freed; NULL when out of memory. */
char *csm_hub_url(const struct csm_hub *hub, bool keeps_slashes, const char *const *parts);

#endif
