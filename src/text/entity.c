/* SPDX-License-Identifier: Apache-2.0
 *
 * entity.c - by md4c's HTML renderer, which has the table of all 2,125 names: it renders
 * the entity alone, and what it cannot leave bare in HTML is turned back. */
#include "text/entity.h"

#include <string.h>

#include <md4c-html.h>

static void collect(const MD_CHAR *text, MD_SIZE n, void *user)
{
    csm_builder_add(user, text, n);
}

void csm_entity_decode(struct csm_builder *out, const char *entity, size_t n)
{
    static const struct {
        const char *html, *plain;
    } kept[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}};
    struct csm_builder html = {0};
    /* A letter on both sides, so that white space is not trimmed. */
    struct csm_builder text = {0};
    csm_builder_add_text(&text, "a");
    csm_builder_add(&text, entity, n);
    csm_builder_add_text(&text, "a");
    const bool is_done = !text.has_failed &&
                         md_html(text.text, (MD_SIZE)text.length, collect, &html, 0, 0) == 0 &&
                         !html.has_failed;
    csm_builder_clear(&text);
    const char *begin = is_done && html.text != NULL ? strstr(html.text, "<p>a") : NULL;
    const char *end = begin != NULL ? strstr(begin, "a</p>") : NULL;
    if (end == NULL || end < begin + 4) {
        csm_builder_add(out, entity, n);
    } else {
        begin += 4;
        size_t length = (size_t)(end - begin);
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (length == strlen(kept[i].html) && strncmp(begin, kept[i].html, length) == 0) {
                begin = kept[i].plain;
                length = 1;
            }
        if (length > 5 && strncmp(begin, "&amp;", 5) == 0) /* none that HTML knows */
            csm_builder_add(out, entity, n);
        else
            csm_builder_add(out, begin, length);
    }
    csm_builder_clear(&html);
}
