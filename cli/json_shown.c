/* SPDX-License-Identifier: Apache-2.0 */
#include "json_shown.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether the n bytes are UTF-8. */
static bool is_utf8(const char *at, size_t n)
{
    json_t *string = json_stringn(at, n);
    json_decref(string);
    return string != NULL;
}

json_t *json_shown(const char *text)
{
    static const char unknown[] = "\xEF\xBF\xBD"; /* U+FFFD */
    const size_t n = strlen(text);
    char *shown = malloc(n * (sizeof unknown - 1) + 1);
    size_t n_shown = 0;
    for (size_t at = 0, length; shown != NULL && at < n; at += length) {
        for (length = 1; length < 4 && length < n - at && !is_utf8(text + at, length);)
            length++;
        const bool is_character = is_utf8(text + at, length);
        length = is_character ? length : 1;
        const size_t n_now = is_character ? length : sizeof unknown - 1;
        memcpy(shown + n_shown, is_character ? text + at : unknown, n_now);
        n_shown += n_now;
    }
    json_t *string = shown != NULL ? json_stringn(shown, n_shown) : NULL;
    free(shown);
    return string;
}
