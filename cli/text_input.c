/* SPDX-License-Identifier: Apache-2.0 */
#include "text_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All of a stream; *n bytes, with room for a zero behind them. */
static char *read_all(FILE *file, size_t *n)
{
    size_t room = 4096;
    char *bytes = malloc(room);
    *n = 0;
    while (bytes != NULL) {
        *n += fread(bytes + *n, 1, room - 1 - *n, file);
        if (*n < room - 1)
            break;
        char *grown = realloc(bytes, room *= 2);
        if (grown == NULL)
            free(bytes);
        bytes = grown;
    }
    return bytes;
}

csm_status text_input(const char *path, char **text, csm_error *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", name, strerror(errno));
    size_t n;
    errno = 0;
    char *bytes = read_all(file, &n);
    int read_errno = ferror(file) ? errno : 0;
    if (file != stdin)
        fclose(file);
    if (bytes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        n--;
    bytes[n] = '\0';
    if (strncmp(bytes, "\xEF\xBB\xBF", 3) == 0) /* the mark that editors write before UTF-8 */
        memmove(bytes, bytes + 3, (n -= 3) + 1);
    csm_status st = CSM_OK;
    if (read_errno != 0)
        st = csm_fail(err, CSM_BAD_FILE, "%s: %s", name, strerror(read_errno));
    else if (n == 0 || strlen(bytes) != n)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s, expected a text", name,
                      n == 0 ? "empty" : "holds a zero byte");
    if (st != CSM_OK) {
        free(bytes);
        return st;
    }
    *text = bytes;
    return CSM_OK;
}
