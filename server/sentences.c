/* SPDX-License-Identifier: Apache-2.0 */
#include "sentences.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SILENCE_MS = 60000 };

/* Silence that is asked for, as much of it as there may be. */
static int take_silence(struct sentences *all, int pause_ms)
{
    const int left = MAX_SILENCE_MS - all->silent_ms;
    const int taken = pause_ms < left ? pause_ms : left;
    all->silent_ms += taken;
    return taken;
}

/* Its text is the list's from here on. */
static csm_status append(struct sentences *all, size_t n_begun, char *text, int pause_ms,
                         csm_error *err)
{
    pause_ms = take_silence(all, pause_ms);
    if (text[strspn(text, " \t\r\n")] == '\0') {
        *(all->n > n_begun ? &all->items[all->n - 1].pause_ms : &all->lead_ms) += pause_ms;
        csm_free(text);
        return CSM_OK;
    }
    if (all->n == all->room) {
        const size_t room = 2 * all->room + 8;
        struct sentence *grown = realloc(all->items, room * sizeof *grown);
        if (grown == NULL) {
            csm_free(text);
            return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
        }
        all->items = grown;
        all->room = room;
    }
    all->items[all->n++] = (struct sentence){text, pause_ms};
    return CSM_OK;
}

csm_status sentences_add(struct sentences *all, const csm_text_rules *rules, size_t n_begun,
                         const char *text, bool is_split, csm_error *err)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    const size_t max_bytes = is_split ? CSM_SENTENCE_BYTES : 0;
    csm_status st = rules != NULL ? csm_text_rules_say(rules, text, max_bytes, &pieces, &n, err)
                                  : csm_text_divide(text, max_bytes, &pieces, &n, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        char *words = pieces[i].text;
        pieces[i].text = NULL;
        st = append(all, n_begun, words, pieces[i].pause_ms, err);
    }
    csm_text_pieces_free(pieces, n);
    return st;
}

void sentences_free(struct sentences *all)
{
    for (size_t i = 0; i < all->n; i++)
        csm_free(all->items[i].text);
    free(all->items);
    *all = (struct sentences){0};
}

bool sentences_are_divided(const struct sentences *all)
{
    return all->n > 1 || all->lead_ms > 0 || (all->n == 1 && all->items[0].pause_ms > 0);
}
