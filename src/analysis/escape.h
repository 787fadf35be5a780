/* SPDX-License-Identifier: Apache-2.0
 *
 * escape.h - text out of files into a page. */
#ifndef CSM_ANALYSIS_ESCAPE_H
#define CSM_ANALYSIS_ESCAPE_H

#include <stdio.h>

/* Text that may hold anything, as HTML text or attribute value. */
static inline void csm_escape_html(FILE *to, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        case '\'':
            fputs("&#39;", to);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
        }
}

#endif
