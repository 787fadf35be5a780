/* SPDX-License-Identifier: Apache-2.0
 *
 * saying.h - what one client is told: from the voice it asked for to the bytes of its
 * sound. A request brings its text with it (saying_begin); a socket adds texts as they
 * are written (saying_open, saying_add, saying_complete). */
#ifndef CSM_SERVER_SAYING_H
#define CSM_SERVER_SAYING_H

#include "cast.h"

struct saying;

/* Each may close the saying. NULL: not told, but for on_end and on_failed. None is called
 * from within a function of this header, saying_go_on apart. */
struct saying_hooks {
    bool (*has_room)(void *owner); /* NULL: always; false: saying_go_on is called later */
    void (*on_sentence)(void *owner, size_t sentence, const char *text);
    void (*on_sound)(void *owner, const void *bytes, size_t n);
    void (*on_sentence_end)(void *owner, size_t sentence);
    void (*on_end)(void *owner);
    void (*on_failed)(void *owner, const struct refusal *why);
};

/* How its sound is cut into files and pieces. */
enum saying_shape {
    SAYING_ONE_SOUND,   /* all sentences in one, with pauses between them */
    SAYING_EACH_A_SOUND /* each sentence a file of its own */
};

/* How it went; complete when it has ended. */
struct saying_report {
    uint64_t seed;
    const char *finish; /* "stop", "length", "guard" */
    size_t n_text, n_prompt, n_frames, n_sentences;
    double sound_s;
    double first_s; /* from the request to its first sound */
    double total_s, queued_s;
};

/* Begin without text. The request is taken, also on failure; is_streamed decides whether
 * on_sound brings a sound as it comes or all at once.
 *   cast  who speaks, where that is known; NULL: as the request says
 * false: `why` tells, no hook is called. */
bool saying_open(struct service *service, struct speech_request *request, const struct cast *cast,
                 enum saying_shape shape, const struct saying_hooks *hooks, void *owner,
                 struct saying **out, struct refusal *why);
/* false: `why` tells; on_failed is not called for it. */
bool saying_add(struct saying *saying, const char *text, bool is_split, struct refusal *why);
void saying_complete(struct saying *saying);
size_t saying_pending(const struct saying *saying); /* sentences not yet said */

/* All of it, of a request with its text. */
bool saying_begin(struct service *service, struct speech_request *request,
                  const struct saying_hooks *hooks, void *owner, struct saying **out,
                  struct refusal *why);

void saying_go_on(struct saying *saying);
struct saying_report saying_report(const struct saying *saying);
struct remark_list saying_remarks(const struct saying *saying); /* so far */
const struct speech_request *saying_request(const struct saying *saying);

/* At any point; takes NULL. One that has neither ended nor failed counts as gone. */
void saying_close(struct saying *saying);

#endif
