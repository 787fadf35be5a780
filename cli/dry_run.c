/* SPDX-License-Identifier: Apache-2.0 */
#include "dry_run.h"

#include <stdio.h>

#include <csm/text.h>

#include "utterances.h"

static csm_status split(const struct speak *w, const struct recite *how, struct utterances *u,
                        csm_error *err)
{
    if (how->script != NULL) {
        struct cast cast;
        csm_status st = cast_names(how->script, &cast, err);
        return st == CSM_OK ? split_script(u, w, how->script, &cast, !how->is_per_turn, err) : st;
    }
    if (w->save_tokens == NULL)
        return split_text(u, w, how->is_whole, 0, err);
    char *text = NULL; /* one utterance */
    csm_status st = speakable(w, w->text, &text, err);
    struct speak one = *w;
    one.text = text;
    one.is_normalized = false;
    if (st == CSM_OK)
        st = split_text(u, &one, true, 0, err);
    csm_free(text);
    return st;
}

static void print_pause(int pause_ms)
{
    if (pause_ms > 0)
        printf("[pause %d ms]\n", pause_ms);
}

csm_status print_text(const struct speak *w, const struct recite *how, csm_error *err)
{
    struct utterances u = {0};
    csm_status st = split(w, how, &u, err);
    if (st == CSM_OK && u.n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "nothing to say: the text is empty");
    for (size_t i = 0; st == CSM_OK && i < u.n; i++) {
        print_pause(i == 0 ? u.lead_ms : 0);
        if (how->script != NULL)
            printf("[%.*s] ", (int)u.items[i].n_label, u.items[i].label);
        puts(u.items[i].text);
        print_pause(u.items[i].pause_ms);
    }
    if (st == CSM_OK && fflush(stdout) != 0)
        st = csm_fail(err, CSM_BAD_FILE, "--dry-run: standard output cannot be written");
    free_utterances(&u);
    return st;
}

/* Whether a text has a pause, which one utterance cannot. */
static bool asks_for_pauses(const csm_text_rules *rules, const char *text)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    csm_error err;
    bool asks = false;
    if (csm_text_rules_say(rules, text, 0, &pieces, &n, &err) != CSM_OK)
        return false;
    for (size_t i = 0; i < n; i++)
        asks = asks || pieces[i].pause_ms > 0;
    csm_text_pieces_free(pieces, n);
    return asks;
}

void remark_text(struct speak *w, const struct recite *how, bool is_embedded)
{
    const char *text = how->script != NULL ? how->script : w->text;
    csm_remark remark;
    csm_error unsaid; /* a text that is none is refused where it is spoken */
    char *spoken = NULL;
    if (is_embedded && speakable(w, text, &spoken, &unsaid) == CSM_OK &&
        csm_remark_letters(spoken, &remark))
        warn(&w->warnings, &remark);
    csm_free(spoken);
    if (w->is_normalized && csm_remark_thoughts(text, &remark))
        warn(&w->warnings, &remark);
    const bool is_one = w->save_tokens != NULL || (how->script != NULL && how->is_per_turn);
    if (w->is_normalized && is_one && asks_for_pauses(w->rules, text)) {
        csm_remark_write(&remark, "pauses", "text: its pauses are commas: %s",
                         w->save_tokens != NULL ? "--save-tokens holds one utterance"
                                                : "--per-turn writes a file for each line");
        warn(&w->warnings, &remark);
    }
}
