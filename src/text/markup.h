/* SPDX-License-Identifier: Apache-2.0
 *
 * markup.h - a text of Markdown, HTML or SSML as blocks without markup: paragraphs,
 * headings, items, rows, lines of code. Plain text is paragraphs. */
#ifndef CSM_TEXT_MARKUP_H
#define CSM_TEXT_MARKUP_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

struct csm_block {
    char *text;    /* trimmed; empty only where a pause stands alone */
    bool is_apart; /* a heading, item, row, line of code: it ends like a sentence */
    int pause_ms;  /* of silence after it */
};

struct csm_blocks {
    struct csm_block *items;
    size_t n, capacity;
};

/* The patterns that it is read by, compiled once for any number of texts and threads; NULL where
 * no markup is read. CSM_OK, CSM_NO_MEMORY. */
struct csm_markup;
CSM_MUST_USE csm_status csm_markup_open(struct csm_markup **out, csm_error *err);
void csm_markup_close(struct csm_markup *markup); /* takes NULL */

/* `blocks` is all zero before, and to be freed after, success or not.
 * CSM_OK, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_markup_read(const struct csm_markup *markup, const char *text,
                                        struct csm_blocks *blocks, csm_error *err);
void csm_blocks_free(struct csm_blocks *blocks);

#endif
