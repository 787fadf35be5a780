/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c - integer arrays of NumPy: .npy (npz.c: a zip of them).
 * Format: numpy.lib.format, versions 1 to 3: magic, version, header length, a
 * Python dictionary with descr, fortran_order and shape, the elements. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/error.h"

struct npy {
    csm_tensor tensor;   /* data not aligned, nor of this machine's byte order */
    bool is_big_endian;
    bool is_fortran;     /* the first dimension is the contiguous one */
};

/* The value of a key in the header's dictionary: what stands after `'key':`. */
static const char *value_of(const char *header, const char *key)
{
    const char *found = strstr(header, key);
    if (found == NULL)
        return NULL;
    found += strlen(key);
    while (*found == ' ' || *found == ':')
        found++;
    return found;
}

static csm_dtype dtype_of(char kind, char size)
{
    static const struct {
        char kind, size;
        csm_dtype dtype;
    } types[] = {{'i', '8', CSM_DTYPE_I64}, {'i', '4', CSM_DTYPE_I32}, {'i', '2', CSM_DTYPE_I16},
                 {'i', '1', CSM_DTYPE_I8},  {'u', '8', CSM_DTYPE_U64}, {'u', '4', CSM_DTYPE_U32},
                 {'u', '2', CSM_DTYPE_U16}, {'u', '1', CSM_DTYPE_U8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == kind && types[i].size == size)
            return types[i].dtype;
    return CSM_DTYPE_COUNT;
}

/* "(1, 125, 32)": false if it is not that, or too deep. */
static bool parse_shape(const char *text, csm_tensor *tensor)
{
    if (*text++ != '(')
        return false;
    tensor->rank = 0;
    while (*text != ')') {
        if (!isdigit((unsigned char)*text) || tensor->rank == CSM_MAX_RANK)
            return false;
        size_t n = 0;
        for (; isdigit((unsigned char)*text); text++) {
            if (n > SIZE_MAX / 16)
                return false;
            n = 10 * n + (size_t)(*text - '0');
        }
        tensor->shape[tensor->rank++] = n;
        while (*text == ' ' || *text == ',' || *text == 'L')
            text++;
    }
    return true;
}

/* CSM_BAD_FORMAT with a message that a caller may drop, for arrays that are no codes. */
static csm_status parse(const unsigned char *bytes, size_t n_bytes, const char *where,
                        struct npy *npy, csm_error *err)
{
    if (n_bytes < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0 || bytes[6] < 1 || bytes[6] > 3)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no array of NumPy, expected .npy version 1 to 3",
                        where);
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    char header[4096];
    if (length >= sizeof header || length > n_bytes - start)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: header of %zu bytes, expected it in the file",
                        where, length);
    memcpy(header, bytes + start, length);
    header[length] = '\0';

    const char *descr = value_of(header, "'descr'");
    const char *order = value_of(header, "'fortran_order'");
    const char *shape = value_of(header, "'shape'");
    if (descr == NULL || order == NULL || shape == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: header without descr, fortran_order and shape",
                        where);
    memset(npy, 0, sizeof *npy);
    npy->tensor.name = "the array";
    npy->tensor.dtype = CSM_DTYPE_COUNT;
    if (strlen(descr) > 5 && descr[0] == '\'' && descr[4] == '\'' &&
        strchr("<>|=", descr[1]) != NULL)
        npy->tensor.dtype = dtype_of(descr[2], descr[3]);
    if (npy->tensor.dtype == CSM_DTYPE_COUNT)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: descr %.*s, expected integers", where,
                        (int)(strcspn(descr, ",}") < 12 ? strcspn(descr, ",}") : 12), descr);
    npy->is_big_endian = descr[1] == '>';
    npy->is_fortran = strncmp(order, "True", 4) == 0;
    if (!parse_shape(shape, &npy->tensor) || !csm_tensor_is_codes(&npy->tensor))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: shape %.*s, expected (frames, codebooks)", where,
                        (int)(strcspn(shape, ")") < 40 ? strcspn(shape, ")") + 1 : 40),
                        shape);

    size_t size = csm_dtype_size(npy->tensor.dtype), n = size;
    size_t room = n_bytes - start - length;
    for (size_t i = 0; i < npy->tensor.rank; i++) {
        if (npy->tensor.shape[i] != 0 && n > room / npy->tensor.shape[i])
            return csm_fail(err, CSM_BAD_FORMAT, "%s: shape %.40s needs more than the %zu bytes "
                            "that are there",
                            where, shape, room);
        n *= npy->tensor.shape[i];
    }
    npy->tensor.data = bytes + start + length;
    npy->tensor.n_bytes = n;
    return CSM_OK;
}

csm_status csm_npy_codes(const unsigned char *bytes, size_t n_bytes, const char *where,
                         int32_t **codes, size_t *n_frames, size_t *n_codebooks, csm_error *err)
{
    struct npy npy;
    csm_status status = parse(bytes, n_bytes, where, &npy, err);
    if (status != CSM_OK)
        return status;

    /* Into this machine's byte order (little end first), aligned, row-major. */
    csm_tensor *tensor = &npy.tensor;
    size_t size = csm_dtype_size(tensor->dtype), n = tensor->n_bytes / size;
    size_t rows = tensor->shape[tensor->rank - 2], columns = tensor->shape[tensor->rank - 1];
    unsigned char *copy = malloc(tensor->n_bytes + 1);
    if (copy == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", where);
    const unsigned char *source = tensor->data;
    for (size_t i = 0; i < n; i++) {
        size_t from = npy.is_fortran ? i % columns * rows + i / columns : i;
        for (size_t b = 0; b < size; b++)
            copy[i * size + b] = source[from * size + (npy.is_big_endian ? size - 1 - b : b)];
    }
    tensor->data = copy;
    status = csm_codes_from_tensor(tensor, where, codes, n_frames, n_codebooks, err);
    free(copy);
    return status;
}

bool csm_npy_holds_array(const unsigned char *bytes, size_t n_bytes)
{
    struct npy npy;
    return parse(bytes, n_bytes, "", &npy, NULL) == CSM_OK;
}
