/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "base/utf8.h"

void csm_scrub(char *text, size_t size)
{
    size_t n = strlen(text), at = 0;
    for (size_t back = 1; n == size - 1 && back < 4; back++)
        if (((unsigned char)text[n - back] & 0xc0) == 0xc0) { /* the last character's first byte */
            if (csm_utf8_valid(text + n - back, back) == 0)
                text[n -= back] = '\0';
            break;
        }
    while (at < n) {
        size_t end = at + csm_utf8_valid(text + at, n - at);
        for (; at < end; at++) {
            unsigned char c = (unsigned char)text[at];
            bool is_c1 = c == 0xc2 && (unsigned char)text[at + 1] < 0xa0;
            if (c < ' ' || c == 0x7f || is_c1)
                text[at] = '?';
            if (is_c1)
                text[++at] = '?';
        }
        if (at < n)
            text[at++] = '?';
    }
}

csm_status csm_fail(csm_error *err, csm_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    /* Through a second buffer: an argument may be err->text itself. */
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    csm_vformat(text, sizeof text, format, args);
    va_end(args);
    if (strncmp(text, ": ", 2) == 0) { /* about a name that is empty, as of --model-path "$UNSET" */
        memmove(text + 2, text, sizeof text - 3);
        memcpy(text, "''", 2);
        text[sizeof text - 1] = '\0';
    }
    csm_scrub(text, sizeof text);
    memcpy(err->text, text, sizeof text);
    return status;
}

const char *csm_status_text(csm_status status)
{
    switch (status) {
#define CSM_STATUS_CASE(name, value, text)                                                         \
    case CSM_##name:                                                                               \
        return text;
        CSM_STATUS_MAP(CSM_STATUS_CASE)
#undef CSM_STATUS_CASE
    }
    return "unknown status";
}

const char *csm_version(void)
{
    return CSM_VERSION;
}

void csm_free(void *memory)
{
    free(memory);
}
