/* SPDX-License-Identifier: Apache-2.0
 *
 * speech.h - texts that are being said: sentence after sentence, each a generation of the
 * model with the voice and the sentence before it as context, as `csm generate` says a
 * long text; so many at once as there are streams, others in a queue.
 *
 * One event loop, one thread. Whoever owns a speech is told when there is something to
 * take, takes it, and is never waited for: a speech whose frames nobody takes pauses and
 * holds up no other. */
#ifndef CSM_SERVER_SPEECH_H
#define CSM_SERVER_SPEECH_H

#include <csm/text.h>

#include "prompt.h"
#include "remark_list.h"
#include "workers.h"

struct speeches;
struct speech;

/* Turns in the order in which they came: */
enum speech_kind {
    SPEECH_NOTHING,  /* yet: the owner is told when there is */
    SPEECH_SENTENCE, /* one begins */
    SPEECH_SOUND,    /* some of it */
    SPEECH_DONE,     /* it has ended */
    SPEECH_END,      /* all is said; every later call says so again */
    SPEECH_FAILED    /* with a status and a message; likewise */
};

struct speech_piece {
    enum speech_kind kind;
    size_t sentence;      /* 0, 1, ...: which */
    const char *text;     /* of the sentence, as the model reads it */
    const float *samples; /* [n_samples], until the next call */
    size_t n_samples;
    csm_status status; /* of FAILED */
    const char *message;
};

/* Whether what is taken is one sound: a pause between sentences, their ends faded. Pauses
 * that the texts ask for are there in any case. */
enum speech_joint {
    SPEECH_APART,
    SPEECH_JOINED,
    SPEECH_JOINED_IF_DIVIDED /* all of its text is there before the first piece is taken */
};

struct speech_setup {
    int speaker;
    struct prompt *prompt; /* a reference of the speech's own is taken; NULL: none */
    csm_generate_options options; /* sentence i has seed + i; without callbacks */
    size_t max_frames; /* of all sentences together; 0: as csm_frames_for_text
                        * has it for each, ten minutes in all */
    bool is_normalized;
    enum speech_joint joint;
};

struct speech_tally {
    size_t n_text;   /* token ids of the texts */
    size_t n_prompt; /* positions of voice and context */
    size_t n_frames; /* drawn */
    size_t n_sentences;
    bool is_cut;         /* by a limit */
    size_t cut_behind, cut_of; /* sentences that were said, of those that were asked, where the rest was
                                * not begun; of 0: it was */
    const char *guarded; /* why the guard ended a sentence; "" if it did not */
    struct remark_list remarks; /* how sentences ended, where not as asked */
};

/* At most max_streams speak at once, at most max_queue wait.
 *   models  [n_models] the same model on several devices; copied. Each sentence is drawn
 *           where the fewest are
 * CSM_NO_MEMORY; CSM_BAD_ARG (n_models). */
csm_status speeches_new(struct event_base *base, csm_model *const *models, size_t n_models,
                        struct workers *workers, size_t max_streams, size_t max_queue,
                        struct speeches **out, csm_error *err);
void speeches_free(struct speeches *all); /* none is open; takes NULL */

/* Those by which texts become words; all's own. */
const csm_text_rules *speeches_rules(const struct speeches *all);

size_t speeches_running(const struct speeches *all);
size_t speeches_waiting(const struct speeches *all);
bool speeches_is_full(const struct speeches *all); /* a new one would have no place */

/* Those that wait will not begin: they fail with CSM_CANCELLED. */
void speeches_stop(struct speeches *all);

/* Begin, with no text yet. on_news is called on the loop's thread, never from within a
 * call of these functions. CSM_NO_MEMORY. */
csm_status speech_open(struct speeches *all, const struct speech_setup *setup,
                       void (*on_news)(void *owner), void *owner, struct speech **out,
                       csm_error *err);

/* Append a text's sentences, or what stands between its pauses. CSM_BAD_ARG (not UTF-8),
 * CSM_NO_MEMORY. */
csm_status speech_add(struct speech *s, const char *text, bool is_split, csm_error *err);

/* No more text will come. */
void speech_complete(struct speech *s);

/* How many sentences wait to be said or are being said. */
size_t speech_pending(const struct speech *s);

struct speech_piece speech_take(struct speech *s);
const struct speech_tally *speech_counts(const struct speech *s);

/* Seconds for which it has waited for a stream, so far or in all. */
double speech_queued_s(const struct speech *s);

/* End it, at any point; its stream is free at once. Takes NULL. */
void speech_close(struct speech *s);

#endif
