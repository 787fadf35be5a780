/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/tokens.h"
#include "base/error.h"
#include "files/matrix_view.h"

csm_status csm_tokens_save(const csm_tokens *t, const char *path, csm_error *err)
{
    enum { NAME_SIZE = 128 };
    csm_status status = CSM_NO_MEMORY;
    size_t n = 0;
    csm_tensor *tensors = calloc(t->n_hidden + 5, sizeof *tensors);
    char(*names)[NAME_SIZE] = calloc(t->n_hidden + 1, sizeof *names);
    if (tensors == NULL || names == NULL) {
        csm_fail(err, status, "%s: out of memory", path);
        goto end;
    }

    tensors[n++] = csm_matrix_view("codes", CSM_DTYPE_I32, t->codes, t->n_frames, t->n_codebooks);
    if (t->margins != NULL)
        tensors[n++] = csm_matrix_view("margins", CSM_DTYPE_F32, t->margins, t->n_frames, t->n_codebooks);
    if (t->probs != NULL)
        tensors[n++] = csm_matrix_view("probs", CSM_DTYPE_F32, t->probs, t->n_frames, t->n_codebooks);
    if (t->logits.data != NULL) {
        tensors[n] = t->logits;
        tensors[n++].name = "logits";
    }
    if (t->forced != NULL)
        tensors[n++] = csm_matrix_view("forced", CSM_DTYPE_I32, t->forced, t->n_forced, t->n_codebooks);
    for (size_t i = 0; i < t->n_hidden; i++) {
        const csm_hidden *h = &t->hidden[i];
        snprintf(names[i], NAME_SIZE, "hidden.%s", h->name);
        tensors[n++] = csm_matrix_view(names[i], CSM_DTYPE_F32, h->data, h->n_rows, h->width);
    }

    const char *metadata[2 * CSM_METADATA_COUNT];
    size_t n_metadata = 0;
    for (enum csm_metadata_key k = 0; k < CSM_METADATA_COUNT; k++) {
        const char *value = csm_tokens_metadata(t, csm_metadata_name(k));
        if (value == NULL)
            continue;
        metadata[2 * n_metadata] = csm_metadata_name(k);
        metadata[2 * n_metadata + 1] = value;
        n_metadata++;
    }
    status = csm_tensors_write(path, tensors, n, metadata, n_metadata, err);

end:
    free(names);
    free(tensors);
    return status;
}
