/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h - what happens to a text before it is spoken: markup goes, numbers and symbols
 * become words, a long text becomes sentences. English; all are plain functions of their
 * text. */
#ifndef CSM_TEXT_H
#define CSM_TEXT_H

#include <stddef.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of what is to be said, and the silence after it. */
typedef struct csm_text_piece {
    char *text;   /* words; empty where a text begins with a pause */
    int pause_ms; /* that the text asks for, <break time="300ms"/>; 0: none */
} csm_text_piece;

/* A text as people and language models write it, as what is said of it.
 *
 *   text        UTF-8
 *   max_bytes   one piece a sentence, as csm_text_sentence cuts them; 0: cut at pauses alone
 *   out, n_out  receive the pieces, to be freed with csm_text_pieces_free
 *
 * Markup goes, its words stay. Markdown: headings, lists (the numbers of numbered ones are
 * said), emphasis, code, tables (a row is a sentence), links (their text), images (theirs),
 * quotes, rules, footnotes, task lists, strikethrough. HTML and SSML: tags go, but for
 * <break>, which is a pause (at most 10 s), <sub alias>, <say-as> characters, and script, style,
 * <think> and <thinking> with an end, whose content goes, too; entities are what they stand for.
 * Subtitles of SRT and WebVTT: their numbers, times and names of speakers go, what is said stays.
 * Formulas of LaTeX are read as far as they can.
 *
 * Numbers (1,234  3.14  -5  21st  1990s  5K), years, dates (2025-03-21, 03/21/2025,
 * 21.03.2025, 21 March), times and zones, money ($5.20, $3M, 1.234,56 EUR, 10 000 EUR), units (5 km,
 * 10 m/s, 50%), fractions, ranges, powers (10^6), versions, telephone numbers, URLs, e-mail
 * and IP addresses, names of files, @names and #tags, Roman numerals after names (Henry
 * VIII), acronyms without a vowel and known ones (FBI), titles and abbreviations (Dr., etc.)
 * become words; brackets and long dashes commas, typographic quotes plain ones, runs of
 * white space one space; emoji go. Text without any of these comes back as it was.
 *
 * Returns CSM_OK; CSM_BAD_ARG (not UTF-8); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_text_pieces(const char *text, size_t max_bytes,
                                                csm_text_piece **out, size_t *n_out,
                                                csm_error *err);

/* The rules of csm_text_pieces, compiled. Compiling takes longer than a sentence's words (1 ms):
 * whoever says many texts opens them once, for any number of threads. CSM_NO_MEMORY. */
typedef struct csm_text_rules csm_text_rules;
CSM_API CSM_MUST_USE csm_status csm_text_rules_open(csm_text_rules **out, csm_error *err);
CSM_API void csm_text_rules_close(csm_text_rules *rules); /* takes NULL */

/* csm_text_pieces by them. */
CSM_API CSM_MUST_USE csm_status csm_text_rules_say(const csm_text_rules *rules, const char *text,
                                                   size_t max_bytes, csm_text_piece **out,
                                                   size_t *n_out, csm_error *err);

/* Longest sentence, in bytes, that models should be asked for: some 16 s, and they are trained
 * on less. */
enum { CSM_SENTENCE_BYTES = 240 };

/* A text as it is written, in pieces that ask for no pause: one a sentence, without the white
 * space around it.
 *   max_bytes  as csm_text_sentence; 0: one piece, the whole text
 * Returns CSM_OK; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_text_divide(const char *text, size_t max_bytes,
                                                csm_text_piece **out, size_t *n_out,
                                                csm_error *err);
CSM_API void csm_text_pieces_free(csm_text_piece *pieces, size_t n); /* takes NULL */

/* The same in one string, for where no silence can be: a pause is a comma.
 *
 *   out   receives a new string, to be freed with csm_free
 *
 * Returns as csm_text_pieces. */
CSM_API CSM_MUST_USE csm_status csm_text_normalize(const char *text, char **out, csm_error *err);

/* csm_text_normalize by rules that are open. */
CSM_API CSM_MUST_USE csm_status csm_text_rules_normalize(const csm_text_rules *rules,
                                                         const char *text, char **out,
                                                         csm_error *err);

/* Letters of other scripts than Latin, which a voice that learned English cannot speak.
 *
 *   script  receives the name of the first one's ("Cyrillic", "Han"): static; NULL: none
 *
 * Returns how many there are in the text; 0 for one that is not UTF-8 from its beginning. */
CSM_API size_t csm_text_unspoken(const char *text, const char **script);

/* The tags between which csm_text_pieces and csm_text_normalize leave out what a model was
 * thinking: "think" or "thinking" (static), as the first of them is called; NULL: there are none. */
CSM_API const char *csm_text_thoughts(const char *text);

/* Where the sentence at the beginning of a text ends.
 *
 *   text       UTF-8, not starting with white space
 *   max_bytes  a longer sentence is cut at its last clause (, ; : -), else at its
 *              last word within them; 0: no limit
 *
 * A sentence ends after . ! ? or ... and closing quotes or brackets, before white
 * space; not after an abbreviation or an initial (Dr. Smith, J. Doe, e.g.), and not
 * before a small letter; and at a blank line; and after the full stops, exclamation and question
 * marks of Chinese, Japanese, Hindi, Arabic and Urdu, whatever follows. Returns its length in bytes, at least
 * 1 unless the text is empty. */
CSM_API size_t csm_text_sentence(const char *text, size_t max_bytes);

#ifdef __cplusplus
}
#endif
#endif
