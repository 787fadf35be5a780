/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h - what happens to a text before it is spoken: numbers and symbols become
 * words, a long text becomes sentences. English; both are plain functions of
 * their text. */
#ifndef CSM_TEXT_H
#define CSM_TEXT_H

#include <stddef.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Spell out what a speech model reads badly.
 *
 *   text  UTF-8
 *   out   receives a new string, to be freed with csm_free
 *
 * Numbers (1,234  3.14  -5  21st  1990s), years, times (10:30 pm), money ($5.20),
 * percent, units after a number (5 km), fractions, ranges and phone numbers
 * become words; so do titles and common abbreviations (Dr., vs., etc.) and the
 * symbols & + = @ # % / ; brackets become commas, typographic quotes and dashes
 * plain ones; runs of white space one space; emoji go. Text without any of these
 * comes back as it was.
 *
 * Returns CSM_OK; CSM_BAD_ARG (not UTF-8); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_text_normalize(const char *text, char **out, csm_error *err);

/* Where the sentence at the beginning of a text ends.
 *
 *   text       UTF-8, not starting with white space
 *   max_bytes  a longer sentence is cut at its last clause (, ; : -), else at its
 *              last word within them; 0: no limit
 *
 * A sentence ends after . ! ? or ... and closing quotes or brackets, before white
 * space; not after an abbreviation or an initial (Dr. Smith, J. Doe, e.g.), and not
 * before a small letter; and at a blank line. Returns its length in bytes, at least
 * 1 unless the text is empty. */
CSM_API size_t csm_text_sentence(const char *text, size_t max_bytes);

#ifdef __cplusplus
}
#endif
#endif
