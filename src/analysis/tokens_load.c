/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens_load.c - token files and the codes of other programs. */
#include <stdlib.h>
#include <string.h>

#include "analysis/tokens.h"
#include "base/error.h"
#include "files/mapped.h"
#include "files/safetensors.h"

enum { MAX_VOCAB = 1 << 24 };

static bool is_integer(csm_dtype dtype)
{
    return dtype >= CSM_DTYPE_I64 && dtype <= CSM_DTYPE_U8;
}

bool csm_tensor_is_codes(const csm_tensor *tensor)
{
    if (!is_integer(tensor->dtype) || tensor->rank < 2)
        return false;
    for (size_t i = 0; i + 2 < tensor->rank; i++)
        if (tensor->shape[i] != 1)
            return false;
    const size_t rows = tensor->shape[tensor->rank - 2], columns = tensor->shape[tensor->rank - 1];
    return columns >= 1 && (columns <= CSM_MAX_CODEBOOKS || (rows >= 1 && rows <= CSM_MAX_CODEBOOKS));
}

static int32_t clamp(int64_t value)
{
    return value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

static int32_t integer_at(const void *data, csm_dtype dtype, size_t i)
{
    switch (dtype) {
    case CSM_DTYPE_I64:
        return clamp(((const int64_t *)data)[i]);
    case CSM_DTYPE_I32:
        return ((const int32_t *)data)[i];
    case CSM_DTYPE_I16:
        return ((const int16_t *)data)[i];
    case CSM_DTYPE_I8:
        return ((const int8_t *)data)[i];
    case CSM_DTYPE_U64: {
        uint64_t value = ((const uint64_t *)data)[i];
        return value > INT32_MAX ? INT32_MAX : (int32_t)value;
    }
    case CSM_DTYPE_U32:
        return clamp(((const uint32_t *)data)[i]);
    case CSM_DTYPE_U16:
        return ((const uint16_t *)data)[i];
    default:
        return ((const uint8_t *)data)[i];
    }
}

csm_status csm_codes_from_tensor(const csm_tensor *tensor, const char *where, int32_t **codes,
                                 size_t *n_frames, size_t *n_codebooks, csm_error *err)
{
    if (!csm_tensor_is_codes(tensor))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s is %s of rank %zu, expected integers [frames, codebooks], at most "
                        "%d codebooks",
                        where, tensor->name, csm_dtype_name(tensor->dtype), tensor->rank,
                        CSM_MAX_CODEBOOKS);
    size_t frames = tensor->shape[tensor->rank - 2], columns = tensor->shape[tensor->rank - 1];
    size_t n = frames * columns;
    int32_t *values = n <= SIZE_MAX / sizeof *values - 1 ? malloc(n * sizeof *values + 1) : NULL;
    if (values == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %zu codes: out of memory", where, n);
    /* More columns than codebooks can be: it is [codebooks, frames], as codecs hand them over. */
    const bool is_turned = columns > CSM_MAX_CODEBOOKS;
    for (size_t i = 0; i < n; i++)
        values[is_turned ? i % columns * frames + i / columns : i] =
            integer_at(tensor->data, tensor->dtype, i);
    *codes = values;
    *n_frames = is_turned ? columns : frames;
    *n_codebooks = is_turned ? frames : columns;
    return CSM_OK;
}

/* `codes`, or `tokens` (what csm sample writes), or the only tensor that may be codes. */
static csm_status choose_tensor(const csm_tensors *file, const char *path,
                                const csm_tensor **chosen, csm_error *err)
{
    static const char *const names[] = {"codes", "tokens"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((*chosen = csm_tensors_find(file, names[i])) != NULL)
            return CSM_OK;
    for (size_t i = 0; i < csm_tensors_count(file); i++) {
        const csm_tensor *tensor = csm_tensors_at(file, i);
        if (!csm_tensor_is_codes(tensor))
            continue;
        if (*chosen != NULL)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: both %s and %s may be codes, expected one integer tensor or one "
                            "named codes",
                            path, (*chosen)->name, tensor->name);
        *chosen = tensor;
    }
    if (*chosen == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: no integer tensor [frames, codebooks], expected one named codes",
                        path);
    return CSM_OK;
}

/* margins and probs: [frames, codebooks] F32, or absent. */
static csm_status per_draw(const csm_tokens *t, const csm_tensors *file, const char *name,
                           const float **out, csm_error *err)
{
    const csm_tensor *tensor = csm_tensors_find(file, name);
    if (tensor == NULL)
        return CSM_OK;
    if (tensor->dtype != CSM_DTYPE_F32 || tensor->rank != 2 || tensor->shape[0] != t->n_frames ||
        tensor->shape[1] != t->n_codebooks)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s, expected F32 [%zu, %zu] as the codes",
                        t->name, name, t->n_frames, t->n_codebooks);
    *out = tensor->data;
    return CSM_OK;
}

static csm_status take_logits(csm_tokens *t, const csm_tensors *file, csm_error *err)
{
    const csm_tensor *tensor = csm_tensors_find(file, "logits");
    if (tensor == NULL)
        return CSM_OK;
    bool is_float = tensor->dtype <= CSM_DTYPE_BF16;
    if (!is_float || tensor->rank != 3 || tensor->shape[0] != t->n_frames ||
        tensor->shape[1] != t->n_codebooks || tensor->shape[2] == 0)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: logits, expected floats [%zu, %zu, vocab] as the codes", t->name,
                        t->n_frames, t->n_codebooks);
    t->logits = *tensor;
    t->vocab = tensor->shape[2];
    return CSM_OK;
}

static csm_status take_forced(csm_tokens *t, const csm_tensors *file, csm_error *err)
{
    const csm_tensor *tensor = csm_tensors_find(file, "forced");
    if (tensor == NULL)
        return CSM_OK;
    if (tensor->dtype != CSM_DTYPE_I32 || tensor->rank != 2 || tensor->shape[0] > t->n_frames ||
        tensor->shape[1] != t->n_codebooks)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: forced, expected I32 [at most %zu, %zu]", t->name,
                        t->n_frames, t->n_codebooks);
    t->forced = tensor->data;
    t->n_forced = tensor->shape[0];
    return CSM_OK;
}

static const char hidden_prefix[] = "hidden.";

/* Where a tensor of the computation stands: backbone before depth decoder, in
 * each its input, layers by number, final. */
static long order_of(const char *name)
{
    long base = 0;
    if (strncmp(name, "depth.", 6) == 0) {
        base = 1000000;
        name += 6;
    } else if (strncmp(name, "backbone.", 9) == 0) {
        name += 9;
    }
    if (strncmp(name, "layer", 5) == 0)
        return base + 1 + strtol(name + 5, NULL, 10) % 900000;
    return base + (strcmp(name, "final") == 0 ? 900002 : 0);
}

static int by_order(const void *left, const void *right)
{
    const csm_hidden *a = left, *b = right;
    long x = order_of(a->name), y = order_of(b->name);
    return x != y ? (x < y ? -1 : 1) : strcmp(a->name, b->name);
}

void csm_hidden_sort(csm_hidden *hidden, size_t n)
{
    qsort(hidden, n, sizeof *hidden, by_order);
}

static csm_status take_hidden(struct csm_tokens_owner *t, csm_error *err)
{
    size_t count = csm_tensors_count(t->file), n = 0;
    t->hidden = calloc(count + 1, sizeof *t->hidden);
    if (t->hidden == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    for (size_t i = 0; i < count; i++) {
        const csm_tensor *tensor = csm_tensors_at(t->file, i);
        if (strncmp(tensor->name, hidden_prefix, sizeof hidden_prefix - 1) != 0)
            continue;
        if (tensor->dtype != CSM_DTYPE_F32 || tensor->rank != 2)
            return csm_fail(err, CSM_BAD_FORMAT, "%s: %s, expected F32 [rows, width]", t->name,
                            tensor->name);
        t->hidden[n++] = (csm_hidden){.name = tensor->name + sizeof hidden_prefix - 1,
                                      .n_rows = tensor->shape[0],
                                      .width = tensor->shape[1],
                                      .data = tensor->data};
    }
    csm_hidden_sort(t->hidden, n);
    t->shown.hidden = t->hidden;
    t->shown.n_hidden = n;
    return CSM_OK;
}

/* Takes the bytes over. */
static csm_status load_safetensors(const char *path, struct csm_mapped *bytes, csm_tokens **out,
                                   csm_error *err)
{
    csm_tensors *file;
    const csm_tensor *tensor = NULL;
    int32_t *codes = NULL;
    size_t n_frames, n_codebooks;
    csm_tokens *tokens = NULL;

    csm_status status = csm_tensors_of(path, bytes, &file, err);
    if (status != CSM_OK)
        return status;
    if ((status = choose_tensor(file, path, &tensor, err)) == CSM_OK)
        status = csm_codes_from_tensor(tensor, path, &codes, &n_frames, &n_codebooks, err);
    if (status == CSM_OK)
        status = csm_tokens_make(path, codes, n_frames, n_codebooks, &tokens, err);
    free(codes);
    if (status != CSM_OK) {
        csm_tensors_close(file);
        return status;
    }

    struct csm_tokens_owner *t = (struct csm_tokens_owner *)(void *)tokens;
    t->file = file; /* from here on closed with the tokens */
    if ((status = per_draw(tokens, file, "margins", &tokens->margins, err)) != CSM_OK ||
        (status = per_draw(tokens, file, "probs", &tokens->probs, err)) != CSM_OK ||
        (status = take_logits(tokens, file, err)) != CSM_OK ||
        (status = take_forced(tokens, file, err)) != CSM_OK ||
        (status = take_hidden(t, err)) != CSM_OK)
        goto fail;
    for (enum csm_metadata_key k = 0; k < CSM_METADATA_COUNT; k++) {
        const char *value = csm_tensors_metadata(file, csm_metadata_name(k));
        if (value != NULL && *value != 0 &&
            (status = csm_tokens_set_metadata(tokens, csm_metadata_name(k), value, err)) != CSM_OK)
            goto fail;
    }
    const char *vocab = csm_tokens_metadata(tokens, "vocab");
    unsigned long n_values = vocab != NULL ? strtoul(vocab, NULL, 10) : 0;
    if (tokens->vocab == 0 && n_values >= 1 && n_values <= MAX_VOCAB)
        tokens->vocab = n_values;
    *out = tokens;
    return CSM_OK;

fail:
    csm_tokens_close(tokens);
    return status;
}

static csm_status load_numpy(const char *path, const char *called, const struct csm_mapped *file,
                             csm_tokens **out, csm_error *err)
{
    int32_t *codes = NULL;
    size_t n_frames, n_codebooks;
    bool is_zip = file->data[0] == 'P';
    csm_status status =
        is_zip ? csm_npz_codes(path, &codes, &n_frames, &n_codebooks, err)
               : csm_npy_codes(file->data, file->size, called, &codes, &n_frames, &n_codebooks, err);
    if (status == CSM_OK)
        status = csm_tokens_make(called, codes, n_frames, n_codebooks, out, err);
    free(codes);
    return status;
}

/* A byte order mark of UTF-8 or UTF-16: spreadsheets and PowerShell begin their texts with one. */
static bool has_mark(const struct csm_mapped *file)
{
    return file->size >= 3 && (memcmp(file->data, "\xEF\xBB\xBF", 3) == 0 ||
                               memcmp(file->data, "\xFF\xFE", 2) == 0 ||
                               memcmp(file->data, "\xFE\xFF", 2) == 0);
}

/* Codes as text or JSON. A safetensors file begins with a length, which has zeros. */
static bool is_text(const struct csm_mapped *file)
{
    if (has_mark(file))
        return true;
    for (size_t i = 0; i < 8 && i < file->size; i++)
        if (file->data[i] != '\n' && file->data[i] != '\r' && file->data[i] != '\t' &&
            (file->data[i] < ' ' || file->data[i] > '~'))
            return false;
    return file->size > 0;
}

/* What people hand over instead of codes, or as codes in a form that is not read. By content,
 * not by name; a pickle in a zip is told by csm_npz_codes. */
static csm_status refuse_others(const char *path, const struct csm_mapped *file, csm_error *err)
{
    static const struct {
        const char *magic;
        size_t n;
    } sounds[] = {{"RIFF", 4}, {"RF64", 4}, {"fLaC", 4}, {"OggS", 4}, {"ID3", 3}, {"FORM", 4}};
    /* MPEG audio begins with eleven bits that are set */
    bool is_sound = file->size >= 2 && !has_mark(file) && file->data[0] == 0xFF &&
                    (file->data[1] & 0xE0) == 0xE0;
    for (size_t i = 0; !is_sound && i < sizeof sounds / sizeof *sounds; i++)
        is_sound = file->size >= sounds[i].n && memcmp(file->data, sounds[i].magic, sounds[i].n) == 0;
    if (is_sound)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: sound, expected codes, which csm codec encode makes of it", path);
    if (csm_is_pickle(file->data, file->size))
        return csm_refuse_pickled_codes(path, err);
    if (is_text(file))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: text, expected codes as safetensors, .npy or .npz "
                        "(numpy.save(\"codes.npy\", CODES) makes one)",
                        path);
    return CSM_OK;
}

csm_status csm_refuse_pickled_codes(const char *path, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: a pickle is not opened (it can run code when read), expected codes as "
                    "safetensors, .npy or .npz (numpy.save(\"codes.npy\", CODES) makes one)",
                    path);
}

csm_status csm_tokens_open(const char *path, csm_tokens **out, csm_error *err)
{
    struct csm_mapped file;
    const char *called;
    csm_status status = csm_mapped_read(path, "a token file", &called, &file, err);
    if (status != CSM_OK)
        return status;
    const bool is_zip = file.size >= 4 && (memcmp(file.data, "PK\3\4", 4) == 0 ||
                                           memcmp(file.data, "PK\5\6", 4) == 0);
    const bool is_npy = file.size >= 6 && memcmp(file.data, "\x93NUMPY", 6) == 0;
    if (is_zip && file.is_read)
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: a .npz out of a pipe, expected a file of it, or "
                          "safetensors or .npy", called);
    else if (is_zip || is_npy)
        status = load_numpy(path, called, &file, out, err);
    else
        status = refuse_others(called, &file, err);
    if (status == CSM_OK && !is_zip && !is_npy)
        return load_safetensors(called, &file, out, err);
    csm_mapped_close(&file);
    return status;
}
