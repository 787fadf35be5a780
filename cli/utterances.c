/* SPDX-License-Identifier: Apache-2.0 */
#include "utterances.h"

#include <stdlib.h>
#include <string.h>

#include <csm/text.h>

enum { MAX_SENTENCE_BYTES = 240 }; /* some 16 s; models are trained on less */

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

/* Append text [n], made speakable, without the white space around it; if that was
 * all, nothing. */
static csm_status add(struct utterances *u, const struct speak *w, const char *text, size_t n,
                      int speaker, csm_error *err)
{
    const char *start = skip_space(text);
    n = start < text + n ? (size_t)(text + n - start) : 0;
    while (n > 0 && strchr(" \t\r\n", start[n - 1]) != NULL)
        n--;
    if (n == 0)
        return CSM_OK;
    struct utterance *items = realloc(u->items, (u->n + 1) * sizeof *items);
    char *part = malloc(n + 1);
    if (items != NULL)
        u->items = items;
    if (items == NULL || part == NULL) {
        free(part);
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    }
    memcpy(part, start, n);
    part[n] = '\0';
    char *spoken = NULL;
    csm_status st = speakable(w, part, &spoken, err);
    free(part);
    if (st != CSM_OK)
        return st;
    if (*skip_space(spoken) == '\0')
        csm_free(spoken);
    else
        u->items[u->n++] = (struct utterance){spoken, speaker};
    return CSM_OK;
}

csm_status split_sentences(struct utterances *u, const struct speak *w, int speaker, csm_error *err)
{
    csm_status st = CSM_OK;
    for (const char *p = skip_space(w->text); st == CSM_OK && *p != '\0';) {
        size_t n = csm_text_sentence(p, MAX_SENTENCE_BYTES);
        st = add(u, w, p, n, speaker, err);
        p = skip_space(p + n);
    }
    return st;
}

bool has_sentences(const char *text)
{
    const char *p = skip_space(text);
    return *skip_space(p + csm_text_sentence(p, MAX_SENTENCE_BYTES)) != '\0';
}

csm_status split_script(struct utterances *u, const struct speak *w, const char *script,
                        csm_error *err)
{
    csm_status st = CSM_OK;
    size_t number = 1;
    for (const char *line = script; st == CSM_OK && *line != '\0'; number++) {
        size_t length = strcspn(line, "\n");
        const char *p = line + strspn(line, " \t");
        if (p < line + length && *p != '\r') {
            char *end;
            long speaker = strtol(p + (*p == '['), &end, 10);
            if (*p != '[' || *end != ']' || end == p + 1 || speaker < 0 || speaker > 1000000)
                return csm_fail(err, CSM_BAD_FORMAT,
                                "--script: line %zu: expected [speaker] text, as in [0] Hello.",
                                number);
            st = add(u, w, end + 1, (size_t)(line + length - end - 1), (int)speaker, err);
        }
        line += length + (line[length] == '\n');
    }
    return st;
}

