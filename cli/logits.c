/* SPDX-License-Identifier: Apache-2.0 */
#include "logits.h"

#include <stdlib.h>
#include <string.h>

#include <csm/tensors.h>

static csm_status refuse(csm_error *err, const char *path, const char *name, const char *why)
{
    return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %s", path, name, why);
}

static csm_status convert(const char *path, const csm_tensor *t, struct logits *logits,
                          csm_error *err)
{
    if (t->rank == 0)
        return refuse(err, path, t->name, "the rank is 0; expected [rows, vocab]");
    size_t rows = 1;
    for (size_t i = 0; i + 1 < t->rank; i++)
        rows *= t->shape[i];
    const size_t vocab = t->shape[t->rank - 1];
    if (rows == 0 || vocab == 0)
        return refuse(err, path, t->name, "it is empty; expected [rows, vocab]");
    float *values = calloc(rows, vocab * sizeof *values);
    if (values == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %s: out of memory", path, t->name);
    if (!csm_tensor_floats(t, 0, rows * vocab, values)) {
        free(values);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: the dtype is %s; expected F64, F32, BF16 or F16", path,
                        t->name, csm_dtype_name(t->dtype));
    }
    *logits = (struct logits){values, rows, vocab};
    return CSM_OK;
}

csm_status logits_read(const char *path, const char *name, struct logits *logits, csm_error *err)
{
    csm_tensors *file;
    csm_status st = csm_tensors_open(path, &file, err);
    if (st != CSM_OK)
        return st;
    if (strcmp(path, "-") == 0)
        path = "standard input";
    const csm_tensor *tensor = NULL;
    if (name != NULL)
        tensor = csm_tensors_find(file, name);
    else if (csm_tensors_count(file) == 1)
        tensor = csm_tensors_at(file, 0);
    if (tensor != NULL)
        st = convert(path, tensor, logits, err);
    else if (name != NULL)
        st = refuse(err, path, name, "there is no tensor of that name");
    else
        st = refuse(err, path, "--tensor", "needed, since the file does not hold just one tensor");
    csm_tensors_close(file);
    return st;
}
