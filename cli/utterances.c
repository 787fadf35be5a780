/* SPDX-License-Identifier: Apache-2.0 */
#include "utterances.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/text.h>

void free_utterances(struct utterances *u)
{
    for (size_t i = 0; i < u->n; i++)
        csm_free(u->items[i].text);
    free(u->items);
}

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Append an utterance; its text is the list's from here on. Silence alone lengthens the
 * pause before it. */
static csm_status append(struct utterances *u, char *text, int speaker, int pause_ms,
                         csm_error *err)
{
    if (*skip_space(text) == '\0') {
        *(u->n > 0 ? &u->items[u->n - 1].pause_ms : &u->lead_ms) += pause_ms;
        csm_free(text);
        return CSM_OK;
    }
    struct utterance *items = realloc(u->items, (u->n + 1) * sizeof *items);
    if (items == NULL) {
        csm_free(text);
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    }
    u->items = items;
    u->items[u->n++] = (struct utterance){.text = text, .speaker = speaker, .pause_ms = pause_ms};
    return CSM_OK;
}

/* Text [n] without the white space around it, to be freed. */
static csm_status copy(const char *text, size_t n, char **out, csm_error *err)
{
    const char *start = skip_space(text);
    n = start < text + n ? (size_t)(text + n - start) : 0;
    while (n > 0 && strchr(" \t\r\n", start[n - 1]) != NULL)
        n--;
    *out = malloc(n + 1);
    if (*out == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    memcpy(*out, start, n);
    (*out)[n] = '\0';
    return CSM_OK;
}

/* What is said of a text, or the text as it is. */
static csm_status add_pieces(struct utterances *u, const struct speak *w, const char *text,
                             size_t max_bytes, int speaker, csm_error *err)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    csm_status st = w->is_normalized
                        ? csm_text_rules_say(w->rules, text, max_bytes, &pieces, &n, err)
                        : csm_text_divide(text, max_bytes, &pieces, &n, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        char *words = pieces[i].text;
        pieces[i].text = NULL;
        st = append(u, words, speaker, pieces[i].pause_ms, err);
    }
    csm_text_pieces_free(pieces, n);
    return st;
}

csm_status split_text(struct utterances *u, const struct speak *w, bool is_whole, int speaker,
                      csm_error *err)
{
    return add_pieces(u, w, w->text, is_whole ? 0 : CSM_SENTENCE_BYTES, speaker, err);
}

bool is_divided(const struct speak *w, bool is_whole)
{
    struct utterances u = {0};
    csm_error err;
    const csm_status st = split_text(&u, w, is_whole, 0, &err);
    const bool is_so =
        st == CSM_OK && (u.n > 1 || u.lead_ms > 0 || (u.n > 0 && u.items[0].pause_ms > 0));
    free_utterances(&u);
    return is_so;
}

/* A line of a script. */
static csm_status add_line(struct utterances *u, const struct speak *w, const char *text, size_t n,
                           int speaker, bool with_pauses, csm_error *err)
{
    char *line = NULL, *words = NULL;
    csm_status st = copy(text, n, &line, err);
    if (st == CSM_OK && w->is_normalized && with_pauses) {
        st = add_pieces(u, w, line, 0, speaker, err);
    } else if (st == CSM_OK) {
        st = speakable(w, line, &words, err);
        if (st == CSM_OK)
            st = append(u, words, speaker, 0, err);
    }
    free(line);
    return st;
}

/* Where in text [n] a name of the cast stands in brackets; n: nowhere. */
static size_t next_turn(const struct cast *cast, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *label, *rest;
        const size_t n_label = text[i] == '[' ? cast_label(text + i, &label, &rest) : 0;
        for (size_t r = 0; n_label > 0 && r < cast->n; r++)
            if (strlen(cast->roles[r].name) == n_label &&
                strncmp(cast->roles[r].name, label, n_label) == 0)
                return i;
    }
    return n;
}

/* The turns of one line, which ends at `end`. */
static csm_status split_line(struct utterances *u, const struct speak *w, const char *line,
                             const char *end, size_t number, const struct cast *cast,
                             bool with_pauses, csm_error *err)
{
    csm_status st = CSM_OK;
    while (st == CSM_OK && line < end) {
        const char *label, *text;
        const size_t n_label = cast_label(line, &label, &text);
        const int speaker = n_label > 0 ? cast_speaker(cast, label, n_label) : -1;
        if (speaker < 0)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "--script: line %zu: expected [speaker] text, as in [0] Hello.",
                            number);
        const size_t n = next_turn(cast, text, (size_t)(end - text));
        const size_t n_before = u->n;
        st = add_line(u, w, text, n, speaker, with_pauses, err);
        if (st == CSM_OK && u->n == n_before)
            fprintf(stderr, "csm: --script: line %zu: [%.*s] says nothing: left out\n", number,
                    (int)n_label, label);
        for (size_t i = n_before; i < u->n; i++) {
            u->items[i].label = label;
            u->items[i].n_label = n_label;
        }
        line = text + n;
    }
    return st;
}

csm_status split_script(struct utterances *u, const struct speak *w, const char *script,
                        const struct cast *cast, bool with_pauses, csm_error *err)
{
    csm_status st = CSM_OK;
    size_t number = 1;
    for (const char *line = script; st == CSM_OK && *line != '\0'; number++) {
        const size_t length = strcspn(line, "\n");
        if (line[strspn(line, " \t\r")] != '\n' && line[strspn(line, " \t\r")] != '\0')
            st = split_line(u, w, line, line + length, number, cast, with_pauses, err);
        line += length + (line[length] == '\n');
    }
    return st;
}
