/* SPDX-License-Identifier: Apache-2.0
 *
 * What opens is written again, and the copy opens with the same tensors. Of what other programs
 * stored in forms of their own, floats are made. */
#include <string.h>

#include <csm/tensors.h>

#include "checkpoint/dequantize.h"
#include "scratch_file.h"

static void check_same(const csm_tensors *a, const csm_tensors *b)
{
    CHECK(csm_tensors_count(a) == csm_tensors_count(b));
    for (size_t i = 0; i < csm_tensors_count(a); i++) {
        const csm_tensor *x = csm_tensors_at(a, i);
        const csm_tensor *y = csm_tensors_find(b, x->name);
        CHECK(csm_tensors_find(a, x->name) == x);
        CHECK(y != NULL && x->dtype == y->dtype && x->rank == y->rank);
        CHECK(memcmp(x->shape, y->shape, sizeof x->shape) == 0);
        CHECK(x->n_bytes == y->n_bytes);
        CHECK((uintptr_t)x->data % csm_dtype_size(x->dtype) == 0 || x->n_bytes == 0);
        CHECK(x->n_bytes == 0 || memcmp(x->data, y->data, x->n_bytes) == 0);
    }
}

static void check_made(const csm_tensor *t)
{
    size_t n = 1;
    for (size_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    CHECK(t->n_bytes == n * csm_dtype_size(t->dtype));
    float *floats = malloc((n + 1) * sizeof *floats);
    CHECK(floats != NULL && csm_tensor_floats(t, 0, n, floats));
    free(floats);
}

/* The set is whole whatever comes of it, and what was made can be read. */
static void check_floats(const csm_tensors *file)
{
    csm_error err = {""};
    struct csm_tensor_set *set = NULL;
    json_t *root = json_pack("{s:s,s:{s:s}}", "dtype", "bfloat16", "quantization_config",
                             "quant_method", "compressed-tensors");
    csm_status st = csm_tensor_set_new("fuzz", &set, &err);
    for (size_t i = 0; st == CSM_OK && i < csm_tensors_count(file); i++)
        st = csm_tensor_set_add(set, csm_tensors_at(file, i), CSM_WEIGHT_FLOAT, "fuzz", &err);
    if (st == CSM_OK)
        st = csm_dequantize(&set, root, NULL, &err);
    CHECK(st == CSM_OK || err.text[0] != '\0');
    for (size_t i = 0; set != NULL && i < set->n; i++)
        if (set->tensors[i].stored.kind != NULL)
            check_made(&set->tensors[i].tensor);
    csm_tensor_set_free(set);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct scratch_file path = scratch_file("a"), copy = scratch_file("b");
    scratch_write(&path, data, n);

    csm_error err = {""};
    csm_tensors *file = NULL, *again = NULL;
    csm_status status = csm_tensors_open(path.path, &file, &err);
    CHECK((status == CSM_OK) == (file != NULL));
    CHECK(status == CSM_OK || (err.text[0] != '\0' && strchr(err.text, '\n') == NULL));
    if (file != NULL) {
        csm_tensor *tensors = calloc(csm_tensors_count(file) + 1, sizeof *tensors);
        for (size_t i = 0; i < csm_tensors_count(file); i++)
            tensors[i] = *csm_tensors_at(file, i);
        CHECK(csm_tensors_write(copy.path, tensors, csm_tensors_count(file), NULL, 0, &err) ==
              CSM_OK);
        CHECK(csm_tensors_open(copy.path, &again, &err) == CSM_OK);
        check_same(file, again);
        check_floats(file);
        free(tensors);
    }
    csm_tensors_close(again);
    csm_tensors_close(file);
    unlink(copy.path);
    unlink(path.path);
    return 0;
}
