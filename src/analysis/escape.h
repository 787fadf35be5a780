/* SPDX-License-Identifier: Apache-2.0
 *
 * escape.h - text out of files into reports. */
#ifndef CSM_ANALYSIS_ESCAPE_H
#define CSM_ANALYSIS_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/* The length of UTF-8 text cut to at most `most` bytes, at the end of a character. */
static inline size_t csm_escape_cut(const char *text, size_t most)
{
    size_t n = 0;
    while (n < most && text[n] != '\0')
        n++;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

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
