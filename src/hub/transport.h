/* SPDX-License-Identifier: Apache-2.0
 *
 * transport.h - one HTTP request and its answer, over libcurl, which is loaded when
 * the first is made: nobody else waits for the forty libraries that it brings. */
#ifndef CSM_HUB_TRANSPORT_H
#define CSM_HUB_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

struct csm_transport;

/* CSM_NO_ENGINE when libcurl is not there. */
CSM_MUST_USE csm_status csm_transport_open(struct csm_transport **out, csm_error *err);
void csm_transport_close(struct csm_transport *transport); /* takes NULL */

/* The head of an answer; text that an answer has not is "". */
struct csm_reply {
    long code; /* 200, 404; 0: none came */
    int64_t n_bytes; /* Content-Length; -1: not said */
    int64_t range_start, range_size; /* Content-Range "bytes START-END/SIZE"; -1: not said */
    char redirect[4096]; /* the URL that a 3xx leads to, absolute */
    char etag[256], linked_etag[256], commit[64], error_code[64], error_message[256];
    char next_page[4096]; /* Link: <URL>; rel="next" */
    int64_t retry_after_s; /* -1: not said, or a date */
    bool is_transient;     /* of a failure: it may pass */
};

struct csm_get {
    const char *url;
    const char *token;    /* NULL: no Authorization */
    uint64_t first_byte;  /* 0: all; else Range: bytes=first_byte- */
    long connect_timeout_s, idle_timeout_s, total_timeout_s; /* 0: no limit */

    /* Take a piece of the body, of a 200 or 206 alone. The reply is as it was when
     * its head had come. Anything but CSM_OK ends the transfer and is returned. */
    csm_status (*take)(void *user, const struct csm_reply *reply, const void *bytes, size_t n,
                       csm_error *err);
    /* Called now and then; anything but CSM_OK ends the transfer and is returned. */
    csm_status (*tell)(void *user, csm_error *err);
    void *user;
};

/* Make one request; redirects are not followed. HTTP and HTTPS alone.
 *
 * CSM_OK for any answer, whatever its code; what take or tell returned; CSM_BAD_FILE
 * when no answer came, or it broke off: reply->is_transient says whether trying
 * again may help. */
CSM_MUST_USE csm_status csm_transport_get(struct csm_transport *transport,
                                          const struct csm_get *get, struct csm_reply *reply,
                                          csm_error *err);

/* Whether two URLs have one scheme, host and port. */
bool csm_transport_is_same_origin(struct csm_transport *transport, const char *a, const char *b);

#endif
