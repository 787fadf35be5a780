/* SPDX-License-Identifier: Apache-2.0 */
#include "json_io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/experimental.h>

json_t *json_read(const char *text, size_t n, size_t flags, json_error_t *error)
{
    static const char bom[] = "\xef\xbb\xbf"; /* that some editors put before a text */
    const size_t n_bom = n >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0;
    text += n_bom;
    n -= n_bom;
    json_t *json = json_loadb(text, n, flags, error);
    if (json != NULL || json_error_code(error) != json_error_numeric_overflow)
        return json;
    size_t n_safe;
    char *safe = csm_json_quote_long(text, n, "seed", &n_safe);
    if (safe != NULL)
        json = json_loadb(safe, n_safe, flags, error);
    csm_free(safe);
    return json;
}

/* Each "seed":-N as 2^64 - N, in a text of its own; the other is freed. A name with its
 * quotation marks cannot stand inside a string. */
static char *with_seeds(char *text)
{
    static const char name[] = "\"seed\":-";
    enum { N_NAME = sizeof name - 2, MOST = 20 };
    size_t n_seeds = 0;
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += N_NAME)
        n_seeds++;
    if (n_seeds == 0)
        return text;
    char *out = malloc(strlen(text) + n_seeds * MOST + 1), *to = out;
    const char *from = text;
    for (const char *at; out != NULL && (at = strstr(from, name)) != NULL;) {
        char *end;
        const long long seed = strtoll(at + N_NAME, &end, 10);
        memcpy(to, from, (size_t)(at - from) + N_NAME);
        to += (size_t)(at - from) + N_NAME;
        to += snprintf(to, MOST + 1, "%" PRIu64, (uint64_t)seed);
        from = end;
    }
    if (out != NULL)
        memcpy(to, from, strlen(from) + 1);
    free(text);
    return out;
}

char *json_text(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    json_decref(object);
    return text != NULL ? with_seeds(text) : NULL;
}
