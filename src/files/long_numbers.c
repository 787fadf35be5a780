/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/experimental.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_DIGITS = 19 }; /* of 2^63, the first that 64 bits with a sign do not hold */

static size_t skip_back(const char *json, size_t at)
{
    while (at > 0 && strchr(" \t\r\n", json[at - 1]) != NULL && json[at - 1] != '\0')
        at--;
    return at;
}

/* Whether "key": stands before the value at `at`. */
static bool is_of_key(const char *json, size_t at, const char *key)
{
    const size_t n = strlen(key);
    at = skip_back(json, at);
    if (at == 0 || json[at - 1] != ':')
        return false;
    at = skip_back(json, at - 1);
    return at >= n + 2 && json[at - 1] == '"' && json[at - n - 2] == '"' &&
           memcmp(json + at - n - 1, key, n) == 0;
}

char *csm_json_quote_long(const char *json, size_t n, const char *key, size_t *n_out)
{
    char *out = malloc(n + n / LONG_DIGITS * 2 + 1);
    bool is_text = false, is_escaped = false;
    *n_out = 0;
    for (size_t i = 0; out != NULL && i < n;) {
        size_t length = 0, sign = 0;
        if (!is_text) {
            sign = json[i] == '-';
            while (i + sign + length < n && isdigit((unsigned char)json[i + sign + length]))
                length++;
        }
        const bool is_fraction = i > 0 && json[i - 1] == '.' && sign == 0;
        const char after = i + sign + length < n ? json[i + sign + length] : ' ';
        const bool is_long = length >= LONG_DIGITS && !is_fraction && strchr(".eE", after) == NULL &&
                             (key == NULL || is_of_key(json, i, key));
        const size_t n_token = length > 0 ? sign + length : 1;
        if (is_long)
            out[(*n_out)++] = '"';
        memcpy(out + *n_out, json + i, n_token);
        *n_out += n_token;
        if (is_long)
            out[(*n_out)++] = '"';
        if (length == 0 && json[i] == '"' && !is_escaped)
            is_text = !is_text;
        is_escaped = is_text && json[i] == '\\' && !is_escaped;
        i += n_token;
    }
    return out;
}
