/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c - integer arrays of NumPy: .npy, and .npz, which is a zip of them.
 * Format: numpy.lib.format, versions 1 to 3: magic, version, header length, a
 * Python dictionary with descr, fortran_order and shape, the elements. */
#include <minizip/unzip.h>

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
        return csm_fail(err, CSM_BAD_FORMAT, "%s: descr %.12s, expected integers", where, descr);
    npy->is_big_endian = descr[1] == '>';
    npy->is_fortran = strncmp(order, "True", 4) == 0;
    if (!parse_shape(shape, &npy->tensor) || !csm_tensor_is_codes(&npy->tensor))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: shape %.40s, expected (frames, codebooks)", where,
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

/* ---- npz ------------------------------------------------------------------- */

enum { MAX_ENTRY_BYTES = 1 << 30 };

/* The current entry, whole; the checksum is checked. */
static csm_status read_entry(unzFile zip, const char *where, unsigned char **bytes, size_t *n,
                             csm_error *err)
{
    unz_file_info64 info;
    if (unzGetCurrentFileInfo64(zip, &info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK ||
        unzOpenCurrentFile(zip) != UNZ_OK)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: entry cannot be read, expected it stored or "
                        "deflated", where);
    csm_status status = CSM_OK;
    *bytes = NULL;
    *n = (size_t)info.uncompressed_size;
    if (info.uncompressed_size > MAX_ENTRY_BYTES)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry of more than a GiB", where);
    else if ((*bytes = malloc(*n + 1)) == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", where);
    else if (unzReadCurrentFile(zip, *bytes, (unsigned)*n) != (int)*n)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry is cut off or damaged", where);
    if (unzCloseCurrentFile(zip) != UNZ_OK && status == CSM_OK)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: entry's checksum does not hold", where);
    if (status != CSM_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

csm_status csm_npz_codes(const char *path, int32_t **codes, size_t *n_frames, size_t *n_codebooks,
                         csm_error *err)
{
    unzFile zip = unzOpen64(path);
    if (zip == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no zip directory, expected .npz", path);

    char chosen[256] = "";
    csm_status status = CSM_OK;
    bool has_named = unzLocateFile(zip, "codes.npy", 1) == UNZ_OK ||
                     unzLocateFile(zip, "tokens.npy", 1) == UNZ_OK;
    int step = has_named ? UNZ_OK : unzGoToFirstFile(zip);
    for (; step == UNZ_OK && status == CSM_OK; step = unzGoToNextFile(zip)) {
        char name[256] = "";
        unsigned char *bytes = NULL;
        size_t n_bytes = 0;
        struct npy npy;
        if (unzGetCurrentFileInfo64(zip, NULL, name, sizeof name - 1, NULL, 0, NULL, 0) != UNZ_OK)
            break;
        size_t length = strlen(name);
        if (strstr(name, "data.pkl") != NULL)
            status = csm_fail(err, CSM_BAD_FORMAT,
                              "%s: a PyTorch pickle is not opened, expected safetensors or .npz: "
                              "safetensors.torch.save_file writes one",
                              path);
        if (status != CSM_OK || length < 4 || strcmp(name + length - 4, ".npy") != 0)
            continue;
        status = read_entry(zip, path, &bytes, &n_bytes, err);
        if (status == CSM_OK && (has_named || parse(bytes, n_bytes, path, &npy, NULL) == CSM_OK)) {
            if (*chosen != '\0')
                status = csm_fail(err, CSM_BAD_FORMAT,
                                  "%s: both %s and %s may be codes, expected one named codes", path,
                                  chosen, name);
            else
                status = csm_npy_codes(bytes, n_bytes, path, codes, n_frames, n_codebooks, err);
            memcpy(chosen, name, sizeof chosen);
        }
        free(bytes);
        if (has_named)
            break;
    }
    if (status == CSM_OK && *chosen == '\0')
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: no integer array (frames, codebooks), expected one named codes",
                          path);
    unzClose(zip);
    if (status != CSM_OK) {
        free(*codes);
        *codes = NULL;
    }
    return status;
}
