/* SPDX-License-Identifier: Apache-2.0
 *
 * model_adapters.c - adapters by name, kept beside a model's weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "generate/model.h"
#include "model/adapted.h"

static csm_status check_name(const csm_model *m, const csm_named_adapter *named, csm_error *err)
{
    if (named->name == NULL || *named->name == '\0')
        return csm_fail(err, CSM_BAD_ARG, "adapter %s: no name, expected one",
                        named->adapter.path != NULL ? named->adapter.path : "without a path");
    for (size_t i = 0; i < m->info.n_adapters; i++)
        if (strcmp(m->adapters[i], named->name) == 0)
            return csm_fail(err, CSM_BAD_ARG, "adapter '%s': two of that name, expected one",
                            named->name);
    return CSM_OK;
}

csm_status csm_model_adapt(csm_model *m, const csm_model_options *options, csm_error *err)
{
    if (options->n_named_adapters == 0)
        return CSM_OK;
    m->adapters = calloc(options->n_named_adapters, sizeof *m->adapters);
    if (m->adapters == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu adapters", options->n_named_adapters);
    m->info.adapters = (const char *const *)m->adapters;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < options->n_named_adapters; i++) {
        const csm_named_adapter *named = &options->named_adapters[i];
        st = check_name(m, named, err);
        if (st == CSM_OK && !options->describe_only)
            st = csm_language_adapt(&m->host.language, m->checkpoint, &named->adapter, i + 1, err);
        if (st == CSM_OK && (m->adapters[i] = strdup(named->name)) == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "model: the name of an adapter");
        m->info.n_adapters += st == CSM_OK;
    }
    return st;
}

csm_status csm_adapter_number(const csm_model *m, const char *name, size_t *number, csm_error *err)
{
    char names[256] = "none: the model has none by name";
    size_t at = 0;
    *number = 0;
    if (name == NULL)
        return CSM_OK;
    for (size_t i = 0; i < m->info.n_adapters; i++) {
        if (strcmp(m->adapters[i], name) == 0) {
            *number = i + 1;
            return CSM_OK;
        }
        if (at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "",
                                   m->adapters[i]);
    }
    return csm_fail(err, CSM_BAD_ARG, "adapter '%s': unknown, expected %s", name, names);
}

void csm_model_adapters_free(csm_model *m)
{
    for (size_t i = 0; i < m->info.n_adapters; i++)
        free(m->adapters[i]);
    free(m->adapters);
}
