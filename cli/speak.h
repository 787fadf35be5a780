/* SPDX-License-Identifier: Apache-2.0
 *
 * speak.h - what csm generate does once a model is open. */
#ifndef CSM_CLI_SPEAK_H
#define CSM_CLI_SPEAK_H

#include <limits.h>

#include <csm/csm.h>
#include <csm/text.h>

#include "context.h"
#include "sink.h"
#include "warnings.h"

enum { ANY_SPEAKER = INT_MIN, LENGTH_OF_TEXT = INT_MIN };

struct speak {
    const char *text;
    int speaker; /* 0 or more, or ANY_SPEAKER: the voice's, else the model's default */
    struct context_options context;
    int min_ms, max_ms; /* max_ms: 1 or more, or LENGTH_OF_TEXT */
    bool is_normalized; /* numbers and symbols become words first, */
    csm_text_rules *rules; /* by these, where it is so: speak_rules_open; to be closed */
    const char *output; /* a file, "-" or "none" */
    struct written written;
    bool is_played;
    struct marking marking;
    const char *save_tokens; /* NULL: do not */
    const char *forced_tokens; /* NULL: go on with what was drawn */
    bool save_logits, is_debug, is_quiet, is_json;
    csm_generate_options options; /* seed, temperatures, sampler, stream, guard */
    double open_ms;               /* what opening the model took */
    struct warnings warnings;
    bool has_sound; /* afterwards: every file has some */
};

/* Speak and write all that was asked for. */
csm_status speak(struct speak *what, csm_model *model, csm_error *err);

/* For whoever speaks more than one utterance: one of them, into a sink that is
 * open, with the context's session, to which it is added. `result` is to be freed
 * with csm_result_close. */
csm_status speak_turn(struct speak *what, const struct context *context, const char *text,
                      int speaker, uint64_t seed, struct sink *sink, csm_result **result, csm_error *err);

/* Its parts, for whoever draws many at a time: the options of csm_generate without
 * seed and callbacks, for a text, CSM_BAD_ARG for a length that is none;
 * what is warned of before a speaker speaks, and of an utterance that is done.
 *   voice  [n_voice] the turns of the context as it was given */
csm_status speak_options(const struct speak *what, const csm_model *model, const csm_turn *voice,
                         size_t n_voice, const char *text, int speaker,
                         csm_generate_options *options, csm_error *err);
void speak_as(struct speak *what, const csm_model *model, const csm_turn *voice, size_t n_voice,
              int speaker);
void speak_remarks(struct speak *what, const csm_report *report, double frame_ms);

/* Open the rules of what is normalized, once for all texts. */
csm_status speak_rules_open(struct speak *what, csm_error *err);

/* The text as it is spoken: a new string, to be freed with csm_free. */
csm_status speakable(const struct speak *what, const char *text, char **out, csm_error *err);

#endif
