/* SPDX-License-Identifier: Apache-2.0
 *
 * speak.c - the package's user: one sentence in the voice that the package has. */
#include <stdio.h>

#include <csm/csm.h>

int main(void)
{
    csm_error err;
    csm_model *model = NULL;
    csm_result *result = NULL;
    csm_generate_options options = csm_generate_defaults();
    csm_request request = {.size = sizeof request, .text = "Hello."};
    csm_status st = csm_model_open(NULL, NULL, &model, &err);
    if (st == CSM_OK)
        st = csm_generate(model, &request, &options, &result, &err);
    if (st != CSM_OK)
        fprintf(stderr, "%s\n", err.text);
    else
        printf("csm %s: %zu samples\n", csm_version(), result->n_samples);
    csm_result_close(result);
    csm_model_close(model);
    return st != CSM_OK;
}
