/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/experimental.h>

#include "bytes.h"

static csm_status add(struct keys *keys, const char *begin, size_t n, const char *path, csm_error *err)
{
    char **grown = realloc(keys->items, (keys->n + 1) * sizeof *grown);
    char *key = malloc(n + 1);
    if (grown != NULL)
        keys->items = grown;
    if (grown == NULL || key == NULL) {
        free(key);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    }
    memcpy(key, begin, n);
    key[n] = '\0';
    keys->items[keys->n++] = key;
    return CSM_OK;
}

csm_status keys_read(const char *path, struct keys *out, csm_error *err)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s, expected a file with a key a line", path,
                        strerror(errno));
    char line[512];
    struct keys keys = {0};
    csm_status st = CSM_OK;
    while (st == CSM_OK && fgets(line, sizeof line, file) != NULL) {
        const char *begin = line + strspn(line, " \t"); /* pasted with an indentation */
        const size_t n = strcspn(begin, " \t\r\n");
        if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n') /* its rest would be a key */
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: a line longer than 510 characters", path);
        else if (n > 0 && *begin != '#')
            st = add(&keys, begin, n, path, err);
    }
    fclose(file);
    if (st == CSM_OK && keys.n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: no key, expected one a line", path);
    if (st == CSM_OK)
        *out = keys;
    else
        keys_free(&keys);
    return st;
}

void keys_free(struct keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        free(keys->items[i]);
    free(keys->items);
    *keys = (struct keys){0};
}

bool keys_have(const struct keys *keys, const char *given)
{
    bool is_known = false;
    for (size_t i = 0; i < keys->n; i++) /* all of them, whichever is right */
        is_known = bytes_same_secret(given != NULL ? given : "", keys->items[i]) || is_known;
    return is_known && given != NULL;
}
