/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize.c - a text as pieces that are spoken: markup is read (markup.h), what is left
 * is cut into sentences (sentence.c), and each becomes words (speaker.h). */
#include <csm/text.h>

#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/markup.h"
#include "text/say.h"
#include "text/speaker.h"

struct pieces {
    csm_text_piece *items;
    size_t n;
};

/* Whether a text ends in a mark, quotes and brackets aside. */
static bool has_end_mark(const char *text)
{
    size_t n = strlen(text);
    for (;;) {
        if (n > 0 && strchr("\"')]", text[n - 1]) != NULL)
            n--;
        else if (n > 3 && (strncmp(text + n - 3, "\xE2\x80\x9D", 3) == 0 ||
                           strncmp(text + n - 3, "\xE2\x80\x99", 3) == 0))
            n -= 3;
        else
            break;
    }
    return n > 0 && (strchr(".,;:!?", text[n - 1]) != NULL ||
                     (n > 3 && strncmp(text + n - 3, "\xE2\x80\xA6", 3) == 0));
}

/* Append a piece; one without words lengthens the pause before it. */
static csm_status add_piece(struct pieces *all, char *text, int pause_ms, csm_error *err)
{
    if (*text == '\0' && (all->n > 0 || pause_ms == 0)) {
        if (all->n > 0)
            all->items[all->n - 1].pause_ms += pause_ms;
        free(text);
        return CSM_OK;
    }
    csm_text_piece *grown = realloc(all->items, (all->n + 1) * sizeof *grown);
    if (grown == NULL) {
        free(text);
        return csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    }
    all->items = grown;
    all->items[all->n++] = (csm_text_piece){text, pause_ms};
    return CSM_OK;
}

/* The words of n bytes. */
static csm_status say(struct csm_speaker *speaker, const char *text, size_t n, char **out,
                      csm_error *err)
{
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
        n--;
    struct csm_builder part = {0}, words = {0};
    csm_builder_add(&part, text, n);
    if (!part.has_failed)
        csm_speaker_say(speaker, part.text, &words);
    words.has_failed = words.has_failed || part.has_failed;
    csm_builder_clear(&part);
    *out = csm_builder_take(&words);
    if (*out != NULL && !csm_has_words(*out))
        **out = '\0';
    return *out != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
}

/* What stands between two pauses: whole, or sentence by sentence. */
static csm_status add_stretch(struct pieces *all, struct csm_speaker *speaker, const char *text,
                              size_t max_bytes, int pause_ms, csm_error *err)
{
    csm_status status = CSM_OK;
    do {
        text += strspn(text, " \t\r\n");
        const size_t n = max_bytes > 0 ? csm_text_sentence(text, max_bytes) : strlen(text);
        const bool is_last = text[n + strspn(text + n, " \t\r\n")] == '\0';
        char *words = NULL;
        status = say(speaker, text, n, &words, err);
        if (status == CSM_OK)
            status = add_piece(all, words, is_last ? pause_ms : 0, err);
        text += n;
    } while (status == CSM_OK && text[strspn(text, " \t\r\n")] != '\0');
    return status;
}

static csm_status add_blocks(struct pieces *all, struct csm_speaker *speaker,
                             const struct csm_blocks *blocks, size_t max_bytes, csm_error *err)
{
    csm_status status = CSM_OK;
    struct csm_builder stretch = {0};
    for (size_t i = 0; status == CSM_OK && i < blocks->n; i++) {
        const struct csm_block *b = &blocks->items[i];
        const bool is_last = i + 1 == blocks->n;
        csm_builder_add_text(&stretch, b->text);
        const bool wants_stop =
            !is_last && b->pause_ms == 0 && (b->is_apart || blocks->items[i + 1].is_apart);
        if (wants_stop && *b->text != '\0' && !has_end_mark(b->text))
            csm_builder_add_text(&stretch, ".");
        csm_builder_add_text(&stretch, "\n\n");
        if (b->pause_ms == 0 && !is_last)
            continue;
        status = stretch.has_failed
                     ? csm_fail(err, CSM_NO_MEMORY, "text: out of memory")
                     : add_stretch(all, speaker, stretch.text, max_bytes, b->pause_ms, err);
        csm_builder_clear(&stretch);
    }
    csm_builder_clear(&stretch);
    return status;
}

csm_status csm_text_rules_say(const csm_text_rules *rules, const char *text, size_t max_bytes,
                              csm_text_piece **out, size_t *n_out, csm_error *err)
{
    const size_t n_bytes = strlen(text), n_valid = csm_utf8_valid(text, n_bytes);
    if (n_valid < n_bytes)
        return csm_fail(err, CSM_BAD_ARG, "text: not UTF-8 at byte %zu", n_valid);
    if (n_bytes > (size_t)1 << 30)
        return csm_fail(err, CSM_BAD_ARG, "text: %zu bytes, expected at most 1 GiB", n_bytes);
    struct pieces all = {0};
    struct csm_blocks blocks = {0};
    struct csm_speaker *speaker = NULL;
    csm_status status = csm_markup_read(csm_rules_markup(rules), text, &blocks, err);
    if (status == CSM_OK)
        status = csm_speaker_new(rules, &speaker, err);
    if (status == CSM_OK)
        status = add_blocks(&all, speaker, &blocks, max_bytes, err);
    csm_speaker_free(speaker);
    csm_blocks_free(&blocks);
    if (status != CSM_OK) {
        csm_text_pieces_free(all.items, all.n);
        return status;
    }
    *out = all.items;
    *n_out = all.n;
    return CSM_OK;
}

csm_status csm_text_pieces(const char *text, size_t max_bytes, csm_text_piece **out, size_t *n_out,
                           csm_error *err)
{
    csm_text_rules *rules;
    csm_status status = csm_text_rules_open(&rules, err);
    if (status != CSM_OK)
        return status;
    status = csm_text_rules_say(rules, text, max_bytes, out, n_out, err);
    csm_text_rules_close(rules);
    return status;
}

void csm_text_pieces_free(csm_text_piece *pieces, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(pieces[i].text);
    free(pieces);
}

csm_status csm_text_normalize(const char *text, char **out, csm_error *err)
{
    csm_text_rules *rules;
    csm_status status = csm_text_rules_open(&rules, err);
    if (status != CSM_OK)
        return status;
    status = csm_text_rules_normalize(rules, text, out, err);
    csm_text_rules_close(rules);
    return status;
}

csm_status csm_text_rules_normalize(const csm_text_rules *rules, const char *text, char **out,
                                    csm_error *err)
{
    csm_text_piece *pieces = NULL;
    size_t n = 0;
    csm_status status = csm_text_rules_say(rules, text, 0, &pieces, &n, err);
    if (status != CSM_OK)
        return status;
    struct csm_builder joined = {0};
    for (size_t i = 0; i < n; i++) {
        if (joined.length > 0)
            csm_builder_add_text(&joined, has_end_mark(joined.text) ? " " : ", ");
        csm_builder_add_text(&joined, pieces[i].text);
    }
    csm_text_pieces_free(pieces, n);
    *out = csm_builder_take(&joined);
    return *out != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
}
