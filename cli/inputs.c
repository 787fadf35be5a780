/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs.h"

#include "model_path.h"

csm_status inputs_read(struct inputs *in, const struct model_choice *choice, struct speak *speak,
                       csm_model_options *options, const char **model_path, csm_error *err)
{
    struct written *written = &speak->written;
    in->downloaded = NULL;
    csm_status st = adapters_read(&choice->adapters, &in->adapters, err);
    options->adapters = in->adapters.list;
    options->n_adapters = in->adapters.n;
    if (st == CSM_OK)
        st = marking_read(&speak->marking, err);
    if (st == CSM_OK)
        st = credentials_read(written->c2pa_cert, written->c2pa_key, &written->credentials, err);
    if (st == CSM_OK)
        st = model_path_resolve(model_path, speak->is_quiet, &in->downloaded, err);
    return st;
}

void inputs_free(struct inputs *in, struct speak *speak)
{
    csm_free(in->downloaded);
    csm_credentials_close(speak->written.credentials);
}
