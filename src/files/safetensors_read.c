/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_read.c - csm_tensors_open and its queries.
 *
 * What is accepted is what the format's own library (safetensors 0.8) accepts,
 * and less: ranks above CSM_MAX_RANK and the types that no CSM uses (8 bit
 * floats, complex) are refused. Offsets must tile the data without gap or
 * overlap, so a checked file has no byte that belongs to no tensor or to two.
 *
 * Files of old writers may place a tensor at an address that is no multiple of
 * its element size; such tensors are copied once, at open. */
#include "files/safetensors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "base/utf8.h"
#include "files/mapped.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000 };

struct csm_tensors {
    struct csm_mapped file;
    size_t n_header;  /* bytes of JSON */
    json_t *header;   /* owns the tensors' names */
    json_t *metadata; /* borrowed from header; NULL: none */
    json_t *by_name;  /* name -> index in tensors */
    size_t n_tensors;
    csm_tensor *tensors; /* in order of offsets */
    void **copies;       /* [n_tensors] aligned copies of misplaced tensors, else NULL */
};

/* A path as one word of a shell's command, for a message that is to be pasted;
 * FILE where it has no room, or a byte that a message cannot keep. */
static const char *quoted(const char *path, char *word, size_t size)
{
    static const char quote[] = "'\\''"; /* out of the quotes, one quote, and in again */
    size_t n = 0, length = strlen(path);
    bool is_plain = csm_utf8_valid(path, length) == length;
    word[n++] = '\'';
    for (const char *c = path; *c != '\0' && is_plain; c++) {
        size_t step = *c == '\'' ? sizeof quote - 1 : 1;
        is_plain = (unsigned char)*c >= ' ' && *c != 0x7f && n + step + 2 <= size;
        if (is_plain)
            memcpy(word + n, *c == '\'' ? quote : c, step);
        n += is_plain ? step : 0;
    }
    memcpy(word + n, "'", 2);
    return is_plain ? word : "FILE";
}

bool csm_is_pickle(const unsigned char *bytes, size_t n)
{
    return n >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5 &&
           (n < LENGTH_BYTES + 1 || bytes[LENGTH_BYTES] != '{');
}

/* A zip whose first file is an array: a .npz. Others are PyTorch's. */
static bool is_npz(const unsigned char *bytes, size_t n)
{
    enum { NAME_LENGTH = 26, NAME = 30 };
    const size_t length = n >= NAME ? bytes[NAME_LENGTH] | (size_t)bytes[NAME_LENGTH + 1] << 8 : 0;
    return length >= 4 && length <= n - NAME && memcmp(bytes + NAME + length - 4, ".npy", 4) == 0;
}

static csm_status refuse_form(const char *path, const char *what, const char *modules,
                              const char *tensors, csm_error *err)
{
    enum { LINE = 128 }; /* of the line itself */
    char room[160];
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path, *where = path;
    const char *word = quoted(path, room, sizeof room);
    const size_t others = LINE + strlen(what) + strlen(modules) + strlen(tensors);
    const bool is_whole = others + strlen(path) + strlen(word) < sizeof err->text;
    if (!is_whole) { /* a command that is cut does something else */
        word = quoted(name, room, sizeof room);
        where = others + strlen(path) + strlen(word) < sizeof err->text ? path : name;
    }
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: %s, expected safetensors; convert it%s: python3 -c 'import sys, %s as s; "
                    "s.save_file(%s, sys.argv[2])' %s model.safetensors",
                    where, what, is_whole ? "" : " there", modules, tensors, word);
}

/* The file's first bytes tell what people most often hand over instead. */
static csm_status refuse_other_formats(const char *path, const unsigned char *bytes, size_t n,
                                       csm_error *err)
{
    static const char of_numpy[] = "numpy as n, safetensors.numpy";
    const bool is_zip = n >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
    if (is_zip && is_npz(bytes, n))
        return refuse_form(path, "a .npz of NumPy", of_numpy,
                           "{k: n.ascontiguousarray(x) for k, x in n.load(sys.argv[1]).items()}", err);
    if (n >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0)
        return refuse_form(path, "an array of NumPy", of_numpy,
                           "{\"x\": n.ascontiguousarray(n.load(sys.argv[1]))}", err);
    if (is_zip || csm_is_pickle(bytes, n))
        return refuse_form(path, "a PyTorch pickle (it can run code when read)",
                           "torch, safetensors.torch",
                           "{k: x.contiguous().clone() for d in [torch.load(sys.argv[1], weights_only=True)] "
                           "for k, x in d.get(\"model\", d.get(\"state_dict\", d)).items()}",
                           err);
    if (n >= 4 && memcmp(bytes, "GGUF", 4) == 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: a GGUF file, expected safetensors", path);
    return CSM_OK;
}

/* Where the header says that a tensor lies, before it is checked. */
struct extent {
    const char *name;
    json_t *entry;
    size_t begin, end;
};

static bool parse_dtype(const char *name, csm_dtype *dtype)
{
    for (int i = 0; i < CSM_DTYPE_COUNT; i++)
        if (strcmp(csm_dtype_name((csm_dtype)i), name) == 0) {
            *dtype = (csm_dtype)i;
            return true;
        }
    return false;
}

/* A JSON integer that is no negative one and fits size_t. */
static bool parse_size(const json_t *value, size_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uintmax_t)json_integer_value(value) > SIZE_MAX)
        return false;
    *size = (size_t)json_integer_value(value);
    return true;
}

static csm_status parse_extent(const char *path, const char *name, json_t *entry,
                               struct extent *extent, csm_error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !parse_size(json_array_get(offsets, 0), &extent->begin) ||
        !parse_size(json_array_get(offsets, 1), &extent->end))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: data_offsets of %s: expected [begin, end], two integers from 0 on",
                        path, name);
    if (extent->begin > extent->end)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: data_offsets of %s: begin %zu lies after end %zu",
                        path, name, extent->begin, extent->end);
    extent->name = name;
    extent->entry = entry;
    return CSM_OK;
}

/* dtype, shape and size of the tensor in [extent->begin, extent->end). */
static csm_status parse_tensor(const char *path, const struct extent *extent, csm_tensor *tensor,
                               csm_error *err)
{
    const char *name = extent->name;
    tensor->name = name;
    const char *dtype = json_string_value(json_object_get(extent->entry, "dtype"));
    if (dtype == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: dtype of %s: missing, or not a string", path,
                        name);
    if (!parse_dtype(dtype, &tensor->dtype))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: dtype of %s: %s, expected F64, F32, F16, BF16, F8_E4M3, F8_E5M2, "
                        "F8_E8M0, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL%s",
                        path, name, dtype,
                        dtype[0] == 'F' ? ": of weights in FP6 or FP4 take the 16-bit ones and "
                                          "quantize those with csm quantize"
                                        : "");

    const json_t *shape = json_object_get(extent->entry, "shape");
    if (!json_is_array(shape))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: shape of %s: missing, or not an array", path,
                        name);
    tensor->rank = json_array_size(shape);
    if (tensor->rank > CSM_MAX_RANK)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: shape of %s: %zu dimensions, expected at most %d",
                        path, name, tensor->rank, CSM_MAX_RANK);
    size_t n_bytes = csm_dtype_size(tensor->dtype);
    for (size_t i = 0; i < tensor->rank; i++) {
        size_t size;
        if (!parse_size(json_array_get(shape, i), &size))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: shape of %s: expected integers from 0 on",
                            path, name);
        if (size != 0 && n_bytes > SIZE_MAX / size)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: shape of %s: its size overflows", path, name);
        n_bytes *= size;
        tensor->shape[i] = size;
    }
    tensor->n_bytes = extent->end - extent->begin;
    if (tensor->n_bytes != n_bytes)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: data_offsets of %s: %zu bytes, expected %zu by shape and dtype", path,
                        name, tensor->n_bytes, n_bytes);
    return CSM_OK;
}

/* By begin, then end: an empty tensor stands before the one that begins there. */
static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The sorted extents tile [0, n_bytes). */
static csm_status check_tiling(const char *path, const struct extent *extents, size_t n,
                               size_t n_bytes, csm_error *err)
{
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (extents[i].end > n_bytes)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: data of %s ends at %zu, but the file holds %zu bytes of data: "
                            "cut short, or not downloaded whole",
                            path, extents[i].name, extents[i].end, n_bytes);
        if (extents[i].begin != end)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: data of %s begins at %zu, expected %zu: %s",
                            path, extents[i].name, extents[i].begin, end,
                            extents[i].begin < end ? "overlap" : "gap");
        end = extents[i].end;
    }
    if (end != n_bytes)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %zu bytes after the last tensor, expected none", path, n_bytes - end);
    return CSM_OK;
}

/* MLX writes null where it has none. */
static csm_status check_metadata(const char *path, json_t *metadata, csm_error *err)
{
    if (json_is_null(metadata))
        return CSM_OK;
    if (!json_is_object(metadata))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: __metadata__: expected an object", path);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: __metadata__ %s: expected a string", path,
                            key);
    return CSM_OK;
}

/* Point tensor i at its bytes, or at a copy of them if they lie crooked. */
static csm_status place(csm_tensors *file, const char *path, size_t i, const unsigned char *bytes,
                        csm_error *err)
{
    csm_tensor *tensor = &file->tensors[i];
    if (tensor->n_bytes == 0 || (uintptr_t)bytes % csm_dtype_size(tensor->dtype) == 0) {
        tensor->data = bytes;
        return CSM_OK;
    }
    file->copies[i] = malloc(tensor->n_bytes);
    if (file->copies[i] == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %s: out of memory", path, tensor->name);
    memcpy(file->copies[i], bytes, tensor->n_bytes);
    tensor->data = file->copies[i];
    return CSM_OK;
}

/* Fill tensors, by_name and metadata from the parsed header. */
static csm_status read_header(csm_tensors *file, const char *path, const unsigned char *data,
                              size_t n_data, csm_error *err)
{
    struct extent *extents = calloc(json_object_size(file->header) + 1, sizeof *extents);
    csm_status status = CSM_OK;
    if (extents == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);

    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            status = check_metadata(path, entry, err);
            file->metadata = entry;
        } else {
            status = parse_extent(path, name, entry, &extents[file->n_tensors], err);
            file->n_tensors++;
        }
        if (status != CSM_OK)
            goto end;
    }
    qsort(extents, file->n_tensors, sizeof *extents, compare_extents);

    file->tensors = calloc(file->n_tensors + 1, sizeof *file->tensors);
    file->copies = calloc(file->n_tensors + 1, sizeof *file->copies);
    file->by_name = json_object();
    if (file->tensors == NULL || file->copies == NULL || file->by_name == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        goto end;
    }
    for (size_t i = 0; i < file->n_tensors; i++) {
        status = parse_tensor(path, &extents[i], &file->tensors[i], err);
        if (status != CSM_OK)
            goto end;
    }
    status = check_tiling(path, extents, file->n_tensors, n_data, err);
    if (status != CSM_OK)
        goto end;
    for (size_t i = 0; i < file->n_tensors; i++) {
        status = place(file, path, i, data + extents[i].begin, err);
        if (status == CSM_OK && json_object_set_new(file->by_name, extents[i].name,
                                                    json_integer((json_int_t)i)) != 0)
            status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
        if (status != CSM_OK)
            goto end;
    }

end:
    free(extents);
    return status;
}

csm_status csm_tensors_open(const char *path, csm_tensors **out, csm_error *err)
{
    struct csm_mapped file;
    const char *called;
    csm_status status = csm_mapped_read(path, "a safetensors file", &called, &file, err);
    return status == CSM_OK ? csm_tensors_of(called, &file, out, err) : status;
}

csm_status csm_tensors_of(const char *path, struct csm_mapped *given, csm_tensors **out,
                          csm_error *err)
{
    csm_tensors *file = calloc(1, sizeof *file);
    if (file == NULL) {
        csm_mapped_close(given);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    }
    file->file = *given;
    csm_status status;
    const unsigned char *bytes = file->file.data;
    size_t size = file->file.size;
    status = refuse_other_formats(path, bytes, size, err);
    if (status != CSM_OK)
        goto fail;
    if (size < LENGTH_BYTES) {
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: %zu bytes, expected at least %d", path, size,
                          LENGTH_BYTES);
        goto fail;
    }
    uint64_t n_header = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n_header = n_header << 8 | bytes[i];
    if (n_header > MAX_HEADER_BYTES) {
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: header of %llu bytes, expected at most %d: not a safetensors file",
                          path, (unsigned long long)n_header, MAX_HEADER_BYTES);
        goto fail;
    }
    if (n_header > size - LENGTH_BYTES) {
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: header of %llu bytes in a file of %zu: cut short, or not safetensors",
                          path, (unsigned long long)n_header, size);
        goto fail;
    }
    if (n_header == 0 || bytes[LENGTH_BYTES] != '{') {
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: header: expected a JSON object", path);
        goto fail;
    }
    json_error_t json;
    file->header = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)n_header,
                              JSON_REJECT_DUPLICATES, &json);
    if (file->header == NULL) {
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: header, byte %d: %s", path, json.position,
                          json.text);
        goto fail;
    }
    file->n_header = (size_t)n_header;
    const size_t data_begin = LENGTH_BYTES + file->n_header;
    status = read_header(file, path, bytes + data_begin, size - data_begin, err);
    if (status != CSM_OK)
        goto fail;
    *out = file;
    return CSM_OK;

fail:
    csm_tensors_close(file);
    return status;
}

void csm_tensors_close(csm_tensors *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; file->copies != NULL && i < file->n_tensors; i++)
        free(file->copies[i]);
    free(file->copies);
    free(file->tensors);
    json_decref(file->by_name);
    json_decref(file->header);
    csm_mapped_close(&file->file);
    free(file);
}

size_t csm_tensors_count(const csm_tensors *file)
{
    return file->n_tensors;
}

const csm_tensor *csm_tensors_at(const csm_tensors *file, size_t i)
{
    return &file->tensors[i];
}

const csm_tensor *csm_tensors_find(const csm_tensors *file, const char *name)
{
    const json_t *i = json_object_get(file->by_name, name);
    return i == NULL ? NULL : &file->tensors[json_integer_value(i)];
}

const char *csm_tensors_metadata(const csm_tensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

const void *csm_tensors_header(const csm_tensors *file, size_t *n_bytes)
{
    *n_bytes = file->n_header;
    return file->file.data + LENGTH_BYTES;
}
