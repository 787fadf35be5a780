/* SPDX-License-Identifier: Apache-2.0
 *
 * markup.c - md4c reads, this writes. HTML is taken as spans, wherever it stands, so that
 * all of it goes one way; indentation is no code. */
#include "text/markup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <md4c.h>

#include "base/builder.h"
#include "base/error.h"
#include "text/entity.h"
#include "text/markup_prepare.h"
#include "text/markup_tag.h"
#include "text/say.h"

enum { MAX_DEPTH = 64 };

struct reader {
    struct csm_blocks *blocks;
    struct csm_builder line; /* the block so far */
    long numbers[MAX_DEPTH]; /* of the lists that are open: the next item's, -1: no numbers */
    size_t depth;            /* of lists, may be beyond MAX_DEPTH */
    size_t n_hidden;         /* script and style that are open */
    bool is_code, is_spelled;
    size_t link_start; /* where the text of the link began */
    bool has_failed;
};

static void trim(struct csm_builder *b)
{
    size_t start = 0;
    while (b->length > 0 && isspace((unsigned char)b->text[b->length - 1]))
        b->text[--b->length] = '\0';
    while (start < b->length && isspace((unsigned char)b->text[start]))
        start++;
    if (start > 0) {
        memmove(b->text, b->text + start, b->length - start + 1);
        b->length -= start;
    }
}

/* The block ends here; an empty one is none, but its pause goes to the one before. */
static void end_block(struct reader *r, bool is_apart, int pause_ms)
{
    struct csm_blocks *all = r->blocks;
    r->has_failed = r->has_failed || r->line.has_failed;
    if (r->has_failed)
        return;
    if (r->is_code && r->line.length > 0 && !csm_has_words(r->line.text)) /* }; and +----+ */
        r->line.length = 0;
    trim(&r->line);
    if (r->line.length > 0)
        r->line.length = csm_markup_restore(r->line.text, r->line.length);
    if (r->line.length == 0 && (pause_ms == 0 || all->n > 0)) {
        if (pause_ms > 0)
            all->items[all->n - 1].pause_ms += pause_ms;
        return;
    }
    if (all->n == all->capacity) {
        const size_t capacity = all->capacity == 0 ? 16 : 2 * all->capacity;
        struct csm_block *grown = realloc(all->items, capacity * sizeof *grown);
        if (grown == NULL) {
            r->has_failed = true;
            return;
        }
        all->items = grown;
        all->capacity = capacity;
    }
    char *text = csm_builder_take(&r->line);
    r->has_failed = text == NULL;
    if (text != NULL)
        all->items[all->n++] = (struct csm_block){text, is_apart, pause_ms};
}

static void add(struct reader *r, const char *text, size_t n)
{
    if (r->n_hidden > 0)
        return;
    if (!r->is_spelled) {
        csm_builder_add(&r->line, text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) { /* each character a word */
        const bool begins = ((unsigned char)text[i] & 0xC0) != 0x80;
        if (begins)
            csm_builder_add_word(&r->line, "");
        csm_builder_add(&r->line, text + i, 1);
    }
    csm_builder_add_text(&r->line, " ");
}

/* A comma, where there is a word before and no mark. */
static void add_comma(struct reader *r)
{
    while (!r->line.has_failed && r->line.length > 0 && r->line.text[r->line.length - 1] == ' ')
        r->line.text[--r->line.length] = '\0';
    if (!r->line.has_failed && r->line.length > 0)
        csm_builder_add_text(
            &r->line, strchr(".,;:!?", r->line.text[r->line.length - 1]) == NULL ? ", " : " ");
}

static void begin_item(struct reader *r, const MD_BLOCK_LI_DETAIL *item)
{
    end_block(r, true, 0);
    if (r->depth > 0 && r->depth <= MAX_DEPTH && r->numbers[r->depth - 1] >= 0) {
        char number[32];
        snprintf(number, sizeof number, "%ld, ", r->numbers[r->depth - 1]++);
        csm_builder_add_text(&r->line, number);
    }
    if (item->is_task && item->task_mark != ' ')
        csm_builder_add_text(&r->line, "done, ");
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    struct reader *r = user;
    switch (type) {
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        end_block(r, true, 0);
        if (r->depth < MAX_DEPTH)
            r->numbers[r->depth] =
                type == MD_BLOCK_OL ? (long)((MD_BLOCK_OL_DETAIL *)detail)->start : -1;
        r->depth++;
        break;
    case MD_BLOCK_LI:
        begin_item(r, detail);
        break;
    case MD_BLOCK_CODE:
        r->is_code = true;
        break;
    case MD_BLOCK_HR:
        if (r->blocks->n > 0)
            r->blocks->items[r->blocks->n - 1].is_apart = true;
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        add_comma(r);
        break;
    default:
        break;
    }
    return r->has_failed;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    struct reader *r = user;
    (void)detail;
    switch (type) {
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        end_block(r, true, 0);
        r->depth--;
        break;
    case MD_BLOCK_LI:
    case MD_BLOCK_H:
    case MD_BLOCK_TR:
        end_block(r, true, 0);
        break;
    case MD_BLOCK_P:
        end_block(r, r->depth > 0, 0);
        break;
    case MD_BLOCK_CODE:
        end_block(r, true, 0);
        r->is_code = false;
        break;
    default:
        break;
    }
    return r->has_failed;
}

static int enter_span(MD_SPANTYPE type, void *detail, void *user)
{
    struct reader *r = user;
    (void)detail;
    if (type == MD_SPAN_A)
        r->link_start = r->line.length;
    return 0;
}

/* A link without a text is said by where it leads. */
static int leave_span(MD_SPANTYPE type, void *detail, void *user)
{
    struct reader *r = user;
    const MD_SPAN_A_DETAIL *link = detail;
    if (type == MD_SPAN_A && r->line.length == r->link_start && link->href.text != NULL)
        add(r, link->href.text, link->href.size);
    return 0;
}

static void take_tag(struct reader *r, const char *text, size_t n)
{
    const struct csm_tag tag = csm_tag_read(text, n);
    if (tag.kind == CSM_TAG_HIDDEN) {
        if (!tag.is_end)
            r->n_hidden++;
        else if (r->n_hidden > 0)
            r->n_hidden--;
    }
    if (r->n_hidden > 0)
        return;
    switch (tag.kind) {
    case CSM_TAG_LINE:
        add_comma(r);
        break;
    case CSM_TAG_CELL:
        if (!tag.is_end)
            add_comma(r);
        break;
    case CSM_TAG_NOTHING: /* it may stand between two sentences */
        if (r->line.length > 0 && strchr(".!?", r->line.text[r->line.length - 1]) != NULL)
            add(r, " ", 1);
        break;
    case CSM_TAG_BLOCK:
        end_block(r, r->depth > 0, 0);
        break;
    case CSM_TAG_STOP:
        end_block(r, true, 0);
        break;
    case CSM_TAG_SPELLED:
        r->is_spelled = !tag.is_end;
        break;
    case CSM_TAG_PAUSE:
        if (!tag.is_end && tag.pause_ms > 0)
            end_block(r, false, tag.pause_ms);
        break;
    default:
        break;
    }
}

/* Code, whose lines are blocks. */
static void add_lines(struct reader *r, const char *text, size_t n)
{
    for (size_t i = 0, start = 0; i <= n; i++)
        if (i == n || text[i] == '\n') {
            add(r, text + start, i - start);
            if (i < n)
                end_block(r, true, 0);
            start = i + 1;
        }
}

static int take_text(MD_TEXTTYPE type, const MD_CHAR *text, MD_SIZE n, void *user)
{
    struct reader *r = user;
    switch (type) {
    case MD_TEXT_NULLCHAR:
        break;
    case MD_TEXT_BR:
        add_comma(r);
        break;
    case MD_TEXT_SOFTBR:
        add(r, " ", 1);
        break;
    case MD_TEXT_HTML:
        take_tag(r, text, n);
        break;
    case MD_TEXT_ENTITY:
        if (r->n_hidden == 0)
            csm_entity_decode(&r->line, text, n);
        break;
    default:
        if (r->is_code)
            add_lines(r, text, n);
        else
            add(r, text, n);
    }
    return r->has_failed;
}

csm_status csm_markup_read(const struct csm_markup *markup, const char *text, struct csm_blocks *blocks,
                           csm_error *err)
{
    static const MD_PARSER parser = {
        .flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_NOHTMLBLOCKS |
                 MD_FLAG_NOINDENTEDCODEBLOCKS | MD_FLAG_PERMISSIVEURLAUTOLINKS,
        .enter_block = enter_block,
        .leave_block = leave_block,
        .enter_span = enter_span,
        .leave_span = leave_span,
        .text = take_text};
    char *prepared = NULL;
    csm_status status = csm_markup_prepare(markup, text, &prepared, err);
    if (status != CSM_OK)
        return status;
    struct reader reader = {.blocks = blocks};
    const bool is_read =
        md_parse(prepared, (MD_SIZE)strlen(prepared), &parser, &reader) == 0 && !reader.has_failed;
    csm_builder_clear(&reader.line);
    free(prepared);
    return is_read ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
}
