/* SPDX-License-Identifier: Apache-2.0
 *
 * markup_tag.h - what a tag of HTML or SSML means for what is said. */
#ifndef CSM_TEXT_MARKUP_TAG_H
#define CSM_TEXT_MARKUP_TAG_H

#include <stdbool.h>
#include <stddef.h>

enum csm_tag_kind {
    CSM_TAG_NOTHING, /* it goes: b, span, emphasis, prosody */
    CSM_TAG_LINE,    /* br */
    CSM_TAG_BLOCK,   /* p, div: what stands in it is apart */
    CSM_TAG_STOP,    /* h1, li, tr: and ends like a sentence */
    CSM_TAG_CELL,    /* td, th */
    CSM_TAG_HIDDEN,  /* script, style: what stands in it is not said */
    CSM_TAG_SPELLED, /* say-as characters */
    CSM_TAG_PAUSE    /* SSML's break */
};

struct csm_tag {
    enum csm_tag_kind kind;
    bool is_end;  /* </b> */
    int pause_ms; /* of CSM_TAG_PAUSE: 0..10000 */
};

/* The tag of n bytes, "<...>"; a comment or declaration is NOTHING. */
struct csm_tag csm_tag_read(const char *tag, size_t n);

#endif
