/* SPDX-License-Identifier: Apache-2.0
 *
 * speaker.h - the rules of say.h over a text without markup. */
#ifndef CSM_TEXT_SPEAKER_H
#define CSM_TEXT_SPEAKER_H

#include <csm/text.h>

#include "base/builder.h"
#include "text/markup.h"

struct csm_speaker;

/* Of rules, which keep it. */
const struct csm_markup *csm_rules_markup(const csm_text_rules *rules);

/* By rules that outlive it: the memory of one caller's matches. CSM_OK, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_speaker_new(const csm_text_rules *rules, struct csm_speaker **out,
                                        csm_error *err);
void csm_speaker_free(struct csm_speaker *speaker); /* takes NULL */

/* Speak `text`, UTF-8, as words: append them to `out`. Not from two threads at once. */
void csm_speaker_say(struct csm_speaker *speaker, const char *text, struct csm_builder *out);

#endif
