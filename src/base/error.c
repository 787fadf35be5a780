/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

csm_status csm_fail(csm_error *err, csm_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    /* Through a second buffer: an argument may be err->text itself. */
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* Names out of files may hold anything; a message stays one line, and no
     * terminal takes orders from it. */
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
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
