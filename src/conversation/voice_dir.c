/* SPDX-License-Identifier: Apache-2.0
 *
 * A build tree looks like an installed one: build/share/csm/voice is a link to
 * voice/model. */
#include <csm/csm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/place.h"

static bool holds_model(const char *dir)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/config.json", dir);
    return access(path, R_OK) == 0;
}

csm_status csm_voice_dir(char *path, size_t size, csm_error *err)
{
    char found[4096];
    const char *set = csm_place_from_environment("CSM_VOICE_DIR");
    if (set != NULL) {
        snprintf(found, sizeof found, "%s", set);
        if (!holds_model(found))
            return csm_fail(err, CSM_BAD_FILE, "%s: no config.json there (from CSM_VOICE_DIR)",
                            found);
    } else {
        /* From bin/ or lib/, from lib/x86_64-linux-gnu/, from beside. */
        static const char *const from_own[] = {"/../share/csm/voice", "/../../share/csm/voice",
                                               "/voice"};
        char own[2048];
        csm_own_directory(own, sizeof own);
        size_t i = 0;
        size_t n = sizeof from_own / sizeof *from_own;
        for (; i < n; i++) {
            snprintf(found, sizeof found, "%s%s", own, from_own[i]);
            if (holds_model(found))
                break;
        }
        if (i == n)
            return csm_fail(err, CSM_BAD_FILE,
                            "the embedded voice is not at %s/../share/csm/voice: install it, set "
                            "CSM_VOICE_DIR, or give a model directory",
                            own);
    }
    if (strlen(found) >= size)
        return csm_fail(err, CSM_BAD_ARG, "voice: a path of %zu bytes, room for %zu",
                        strlen(found) + 1, size);
    memcpy(path, found, strlen(found) + 1);
    return CSM_OK;
}
