/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

csm_status synth_manifest_open(struct synth_manifest *m, const char *path, csm_error *err)
{
    const char *slash = strrchr(path, '/');
    *m = (struct synth_manifest){.path = path};
    snprintf(m->folder, sizeof m->folder, "%.*s", slash != NULL ? (int)(slash + 1 - path) : 0, path);
    m->file = fopen(path, "rb");
    if (m->file == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    if (fseeko(m->file, 0, SEEK_SET) != 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: expected a file, which is read twice, not a pipe",
                        path);
    return CSM_OK;
}

void synth_manifest_close(struct synth_manifest *m)
{
    if (m->file != NULL)
        fclose(m->file);
    free(m->line);
    *m = (struct synth_manifest){0};
}

void synth_manifest_rewind(struct synth_manifest *m)
{
    rewind(m->file);
    m->number = 0;
}

csm_status synth_manifest_next(struct synth_manifest *m, bool *is_over, csm_error *err)
{
    errno = 0;
    for (ssize_t n; (n = getline(&m->line, &m->room, m->file)) > 0;) {
        m->n = (size_t)n;
        if (m->number++ == 0 && n >= 3 && memcmp(m->line, "\xEF\xBB\xBF", 3) == 0) {
            m->n -= 3; /* the mark that editors write before UTF-8 */
            memmove(m->line, m->line + 3, m->n + 1);
        }
        if (strspn(m->line, " \t\r\n") == m->n)
            continue;
        *is_over = false;
        return CSM_OK;
    }
    *is_over = true;
    return ferror(m->file) || !feof(m->file)
               ? csm_fail(err, CSM_BAD_FILE, "%s: %s", m->path, strerror(errno))
               : CSM_OK;
}
