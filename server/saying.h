/* SPDX-License-Identifier: Apache-2.0
 *
 * saying.h - one request from its voice to the last byte of its sound. */
#ifndef CSM_SERVER_SAYING_H
#define CSM_SERVER_SAYING_H

#include "service.h"

struct saying;

/* Each may close the saying. */
struct saying_hooks {
    bool (*has_room)(void *owner); /* NULL: always; false: saying_go_on is called later */
    void (*on_sound)(void *owner, const void *bytes, size_t n); /* all at once unless streamed */
    void (*on_end)(void *owner);
    void (*on_failed)(void *owner, const struct refusal *why);
};

/* How it went; complete when it has ended. */
struct saying_report {
    uint64_t seed;
    const char *finish; /* "stop", "length", "guard" */
    size_t n_text, n_prompt, n_frames;
    double sound_s;
    double first_s; /* from the request to its first sound */
    double total_s, queued_s;
};

/* Begin. The request is taken, also on failure. false: `why` tells, no hook is called. */
bool saying_begin(struct service *service, struct speech_request *request,
                  const struct saying_hooks *hooks, void *owner, struct saying **out,
                  struct refusal *why);

void saying_go_on(struct saying *saying);
struct saying_report saying_report(const struct saying *saying);
const struct speech_request *saying_request(const struct saying *saying);

/* At any point; takes NULL. One that has neither ended nor failed counts as gone. */
void saying_close(struct saying *saying);

#endif
