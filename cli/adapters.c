/* SPDX-License-Identifier: Apache-2.0 */
#include "adapters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <csm/status.h>

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

csm_status adapters_read(const struct option_list *given, struct adapters *adapters,
                         csm_error *err)
{
    adapters->n = 0;
    for (size_t i = 0; i < given->n; i++) {
        const char *text = given->items[i], *colon = strrchr(text, ':');
        size_t n = strlen(text);
        double scale = 1;
        if (colon != NULL && !is_directory(text)) {
            char *end;
            scale = strtod(colon + 1, &end); /* the command never leaves the C locale */
            if (end == colon + 1 || *end != '\0' || !isfinite(scale))
                return csm_fail(err, CSM_BAD_ARG,
                                "--adapter: '%s', expected DIR or DIR:SCALE, a number", text);
            n = (size_t)(colon - text);
        }
        if (n == 0 || n >= sizeof adapters->paths[i])
            return csm_fail(err, CSM_BAD_ARG, "--adapter: '%s', expected DIR or DIR:SCALE", text);
        memcpy(adapters->paths[i], text, n);
        adapters->paths[i][n] = '\0';
        adapters->list[i] = (csm_adapter){.path = adapters->paths[i], .scale = scale};
        adapters->n++;
    }
    return CSM_OK;
}

csm_status named_adapters_read(const struct option_list *given, struct named_adapters *adapters,
                               csm_error *err)
{
    struct option_list rest = *given;
    for (size_t i = 0; i < given->n; i++) {
        const char *text = given->items[i], *equals = strchr(text, '=');
        const size_t n = equals != NULL ? (size_t)(equals - text) : 0;
        if (n == 0 || n >= sizeof adapters->names[i])
            return csm_fail(err, CSM_BAD_ARG,
                            "--adapter: '%s', expected NAME=DIR or NAME=DIR:SCALE", text);
        memcpy(adapters->names[i], text, n);
        adapters->names[i][n] = '\0';
        rest.items[i] = equals + 1;
    }
    csm_status st = adapters_read(&rest, &adapters->read, err);
    for (size_t i = 0; st == CSM_OK && i < given->n; i++)
        adapters->list[i] = (csm_named_adapter){.name = adapters->names[i],
                                                .adapter = adapters->read.list[i]};
    return st;
}
