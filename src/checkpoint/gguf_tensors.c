/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/gguf_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/affine.h"
#include "base/error.h"
#include "base/threads.h"
#include "checkpoint/config_parts.h"
#include "files/gguf_rows.h"

/* What adding is done with. */
struct adding {
    struct csm_tensor_set *set;
    const struct csm_gguf_source *source;
    csm_threads *threads; /* made when the first quantized tensor is met */
    const struct csm_gguf_tensor **tables, **heads; /* [CSM_MAX_COUNT] by their numbers */
};

/* Rows of one tensor, or of several of one type and shape one after the other. */
struct rows {
    const struct csm_gguf_tensor *const *parts;
    size_t n_parts, n_each, cols, row_bytes;
    size_t head_dim; /* not 0: rows of each head are pairs, wanted as halves */
};

static struct rows rows_of(const struct csm_gguf_tensor *const *parts, size_t n_parts,
                           size_t head_dim)
{
    const struct csm_gguf_tensor *t = parts[0];
    const size_t cols = t->shape[t->rank - 1];
    const struct csm_gguf_format *format = csm_gguf_format(t->type);
    const size_t row_bytes = cols / format->block_values * format->block_bytes;
    return (struct rows){parts, n_parts, t->n_bytes / row_bytes, cols, row_bytes, head_dim};
}

/* The bytes of the row that is the r-th of what is wanted. */
static const void *row_at(const struct rows *rows, size_t r)
{
    const size_t half = rows->head_dim / 2;
    size_t in_part = r % rows->n_each;
    if (half != 0) {
        const size_t in_head = in_part % rows->head_dim;
        in_part += in_head % half * 2 + in_head / half - in_head;
    }
    return (const char *)rows->parts[r / rows->n_each]->data + in_part * rows->row_bytes;
}

static csm_dtype dtype_of(enum csm_gguf_type type)
{
    return type == CSM_GGUF_F16 ? CSM_DTYPE_F16 : type == CSM_GGUF_BF16 ? CSM_DTYPE_BF16
                                                                         : CSM_DTYPE_F32;
}

static bool is_float(const struct csm_gguf_tensor *t)
{
    return csm_gguf_affine(t->type).bits == 0;
}

static csm_status no_memory(const struct adding *adding, const char *name, csm_error *err)
{
    return csm_fail(err, CSM_NO_MEMORY, "%s: %s: out of memory", adding->source->path, name);
}

/* Memory that the set owns. */
static csm_status room(struct adding *adding, size_t n_bytes, const char *name, void **out,
                       csm_error *err)
{
    *out = malloc(n_bytes + 1);
    return *out == NULL ? no_memory(adding, name, err)
                        : csm_tensor_set_keep(adding->set, *out, free, err);
}

/* Add a tensor under the name NAME + SUFFIX; messages call it what its file does. */
static csm_status add(struct adding *adding, const struct csm_gguf_tensor *own, const char *name,
                      const char *suffix, csm_tensor tensor, csm_error *err)
{
    const size_t size = strlen(name) + strlen(suffix) + 1;
    void *kept;
    csm_status st = room(adding, size, own->name, &kept, err);
    if (st != CSM_OK)
        return st;
    snprintf(kept, size, "%s%s", name, suffix);
    tensor.name = kept;
    st = csm_tensor_set_add(adding->set, &tensor, CSM_WEIGHT_FLOAT, adding->source->path, err);
    if (st == CSM_OK)
        adding->set->tensors[adding->set->n - 1].tensor.name = own->name;
    return st;
}

static csm_tensor shaped(csm_dtype dtype, const size_t *shape, size_t rank, const void *data)
{
    csm_tensor t = {.dtype = dtype, .rank = rank, .data = data, .n_bytes = csm_dtype_size(dtype)};
    for (size_t i = 0; i < rank; i++)
        t.n_bytes *= t.shape[i] = shape[i];
    return t;
}

/* ---- rows, many at once -------------------------------------------------------- */

struct row_job {
    struct rows rows;
    enum csm_gguf_type type;
    struct csm_gguf_affine affine;
    /* What is made: words, scales and biases, or floats. */
    uint32_t *words;
    float *scales, *biases, *floats;
    uint8_t *codes; /* [threads][cols] */
    float *scratch; /* [threads][2 * groups], for floats */
};

static void row_work(void *user, size_t first, size_t end, int thread)
{
    const struct row_job *job = user;
    const size_t cols = job->rows.cols, group = (size_t)job->affine.group;
    const size_t n_groups = cols / group, n_words = cols * (size_t)job->affine.bits / 32;
    uint8_t *codes = job->codes + (size_t)thread * cols;
    for (size_t r = first; r < end; r++) {
        float *scales = job->floats != NULL ? job->scratch + (size_t)thread * 2 * n_groups
                                            : job->scales + r * n_groups;
        float *biases = job->floats != NULL ? scales + n_groups : job->biases + r * n_groups;
        csm_gguf_codes(job->type, row_at(&job->rows, r), cols, codes, scales, biases);
        if (job->floats == NULL)
            csm_affine_pack(codes, cols, job->affine.bits, job->words + r * n_words);
        for (size_t c = 0; job->floats != NULL && c < cols; c++)
            job->floats[r * cols + c] = scales[c / group] * (float)codes[c] + biases[c / group];
    }
}

static csm_status run_rows(struct adding *adding, struct row_job *job, csm_error *err)
{
    csm_status st = CSM_OK;
    if (adding->threads == NULL)
        st = csm_threads_new(0, &adding->threads, err);
    if (st != CSM_OK)
        return st;
    const size_t n = (size_t)csm_threads_count(adding->threads), cols = job->rows.cols;
    job->codes = malloc(n * cols);
    job->scratch = malloc(n * 2 * (cols / (size_t)job->affine.group) * sizeof *job->scratch);
    if (job->codes == NULL || job->scratch == NULL)
        st = no_memory(adding, job->rows.parts[0]->name, err);
    else
        csm_threads_run(adding->threads, row_work, job, job->rows.n_parts * job->rows.n_each, 16);
    for (size_t i = 0; i < job->rows.n_parts; i++)
        csm_gguf_forget(adding->source->file, job->rows.parts[i]);
    free(job->codes);
    free(job->scratch);
    return st;
}

/* A quantized tensor in float32. */
static csm_status multiply_out(struct adding *adding, const struct csm_gguf_tensor *t,
                               size_t head_dim, const void **out, csm_error *err)
{
    struct row_job job = {.rows = rows_of(&t, 1, head_dim), .type = t->type,
                          .affine = csm_gguf_affine(t->type)};
    void *floats;
    csm_status st = room(adding, job.rows.n_each * job.rows.cols * sizeof(float), t->name, &floats,
                         err);
    if (st != CSM_OK)
        return st;
    *out = job.floats = floats;
    return run_rows(adding, &job, err);
}

/* Words, scales and biases of `shape`, whose name without ".weight" is `module`. */
static csm_status add_affine(struct adding *adding, struct rows rows, const char *module,
                             const size_t *shape, size_t rank, csm_error *err)
{
    const struct csm_gguf_tensor *own = rows.parts[0];
    struct row_job job = {.rows = rows, .type = own->type, .affine = csm_gguf_affine(own->type)};
    size_t of_words[3], of_scales[3];
    memcpy(of_words, shape, rank * sizeof *shape);
    memcpy(of_scales, shape, rank * sizeof *shape);
    of_words[rank - 1] = rows.cols * (size_t)job.affine.bits / 32;
    of_scales[rank - 1] = rows.cols / (size_t)job.affine.group;
    csm_tensor words = shaped(CSM_DTYPE_U32, of_words, rank, NULL);
    csm_tensor scales = shaped(CSM_DTYPE_F32, of_scales, rank, NULL), biases = scales;
    void *memory[3] = {NULL};
    csm_status st = room(adding, words.n_bytes, own->name, &memory[0], err);
    if (st == CSM_OK)
        st = room(adding, scales.n_bytes, own->name, &memory[1], err);
    if (st == CSM_OK)
        st = room(adding, biases.n_bytes, own->name, &memory[2], err);
    if (st != CSM_OK)
        return st;
    words.data = job.words = memory[0];
    scales.data = job.scales = memory[1];
    biases.data = job.biases = memory[2];
    st = run_rows(adding, &job, err);
    if (st == CSM_OK)
        st = add(adding, own, module, ".weight", words, err);
    if (st == CSM_OK)
        st = add(adding, own, module, ".scales", scales, err);
    return st == CSM_OK ? add(adding, own, module, ".biases", biases, err) : st;
}

/* ---- one tensor ---------------------------------------------------------------- */

/* Its numbers as floats of `dtype`, in order. */
static csm_status values_of(struct adding *adding, const struct csm_gguf_tensor *t,
                            csm_dtype *dtype, const void **data, csm_error *err)
{
    *dtype = dtype_of(t->type);
    *data = t->data;
    return is_float(t) ? CSM_OK : multiply_out(adding, t, 0, data, err);
}

static csm_status add_values(struct adding *adding, const struct csm_gguf_tensor *t,
                             const char *name, const size_t *shape, size_t rank, csm_error *err)
{
    csm_dtype dtype;
    const void *data;
    csm_status st = values_of(adding, t, &dtype, &data, err);
    return st == CSM_OK ? add(adding, t, name, "", shaped(dtype, shape, rank, data), err) : st;
}

static csm_status refuse_shape(const struct adding *adding, const struct csm_gguf_tensor *t,
                               const char *expected, csm_error *err)
{
    return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %zu axes, the last of %zu, expected %s",
                    adding->source->path, t->name, t->rank, t->shape[t->rank - 1], expected);
}

/* "a.b.weight" without ".weight" in `module`; false: another ending. */
static bool module_of(const char *name, char module[CSM_NAME_MAX])
{
    const size_t n = strlen(name), end = strlen(".weight");
    if (n <= end || strcmp(name + n - end, ".weight") != 0)
        return false;
    snprintf(module, CSM_NAME_MAX, "%.*s", (int)(n - end), name);
    return true;
}

/* A matrix of the language model whose rows may stand in pairs. */
static csm_status add_matrix(struct adding *adding, const struct csm_gguf_tensor *t,
                             const char *name, size_t head_dim, csm_error *err)
{
    char module[CSM_NAME_MAX];
    if (head_dim != 0 && (t->rank != 2 || t->shape[0] % head_dim != 0))
        return refuse_shape(adding, t, "rows of whole heads", err);
    struct rows rows = rows_of(&t, 1, head_dim);
    if (!is_float(t) && module_of(name, module))
        return add_affine(adding, rows, module, t->shape, t->rank, err);
    if (head_dim == 0)
        return add_values(adding, t, name, t->shape, t->rank, err);
    void *copy;
    csm_status st = room(adding, t->n_bytes, t->name, &copy, err);
    for (size_t r = 0; st == CSM_OK && r < rows.n_each; r++)
        memcpy((char *)copy + r * rows.row_bytes, row_at(&rows, r), rows.row_bytes);
    return st == CSM_OK
               ? add(adding, t, name, "", shaped(dtype_of(t->type), t->shape, t->rank, copy), err)
               : st;
}

/* q, k and v, thirds of the rows. */
static csm_status add_split(struct adding *adding, const struct csm_gguf_tensor *t, char *name,
                            csm_error *err)
{
    csm_dtype dtype;
    const void *data;
    if (t->rank != 2 || t->shape[0] % 3 != 0)
        return refuse_shape(adding, t, "a matrix of q, k and v", err);
    csm_status st = values_of(adding, t, &dtype, &data, err);
    const size_t shape[2] = {t->shape[0] / 3, t->shape[1]};
    char *letter = strchr(name, '?');
    for (size_t i = 0; st == CSM_OK && i < 3; i++) {
        *letter = "qkv"[i];
        csm_tensor part = shaped(dtype, shape, 2, NULL);
        part.data = (const char *)data + i * part.n_bytes;
        st = add(adding, t, name, "", part, err);
    }
    return st;
}

/* Vectors of a codebook, and a usage of 1 for each. */
static csm_status add_entries(struct adding *adding, const struct csm_gguf_tensor *t,
                              const char *name, csm_error *err)
{
    char usage[CSM_NAME_MAX];
    const char *end = strstr(name, "embed_sum");
    csm_status st = add_values(adding, t, name, t->shape, t->rank, err);
    const size_t n = t->shape[0];
    void *ones;
    if (st == CSM_OK)
        st = room(adding, n * sizeof(float), t->name, &ones, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; i < n; i++)
        ((float *)ones)[i] = 1;
    snprintf(usage, sizeof usage, "%.*scluster_usage", (int)(end - name), name);
    return add(adding, t, usage, "", shaped(CSM_DTYPE_F32, &n, 1, ones), err);
}

/* A convolution of each channel by itself that was written out as one of all channels. */
static csm_status add_diagonal(struct adding *adding, const struct csm_gguf_tensor *t,
                               const char *name, csm_error *err)
{
    if (t->rank != 3 || t->shape[0] != t->shape[1] || t->shape[0] == 1)
        return add_values(adding, t, name, t->shape, t->rank, err);
    csm_dtype dtype;
    const void *data;
    csm_status st = values_of(adding, t, &dtype, &data, err);
    const size_t n = t->shape[0], shape[3] = {n, 1, t->shape[2]};
    const size_t size = t->shape[2] * csm_dtype_size(dtype);
    void *copy = NULL;
    if (st == CSM_OK)
        st = room(adding, n * size, t->name, &copy, err);
    for (size_t i = 0; st == CSM_OK && i < n * n; i++) {
        const char *at = (const char *)data + i * size;
        if (i % (n + 1) == 0)
            memcpy((char *)copy + i / n * size, at, size);
        for (size_t b = 0; i % (n + 1) != 0 && b < size && st == CSM_OK; b++)
            if (at[b] != 0)
                st = csm_fail(err, CSM_BAD_FORMAT,
                              "%s: %s: channels %zu and %zu are mixed, expected each by itself",
                              adding->source->path, t->name, i / n, i % n);
    }
    return st == CSM_OK ? add(adding, t, name, "", shaped(dtype, shape, 3, copy), err) : st;
}

static csm_status add_with_kernel(struct adding *adding, const struct csm_gguf_tensor *t,
                                  const char *name, csm_error *err)
{
    const size_t shape[3] = {t->shape[0], t->shape[1], 1};
    return t->rank == 2 ? add_values(adding, t, name, shape, 3, err)
                        : add_values(adding, t, name, t->shape, t->rank, err);
}

static csm_status remember(struct adding *adding, const struct csm_gguf_tensor *t, size_t index,
                           const struct csm_gguf_tensor **list, csm_error *err)
{
    if (index >= CSM_MAX_COUNT || t->rank != 2)
        return refuse_shape(adding, t, "a matrix of a codebook below 4096", err);
    list[index] = t;
    return CSM_OK;
}

/* One that is not of a CSM is listed with the others that nothing reads. */
static csm_status add_unknown(struct adding *adding, const struct csm_gguf_tensor *t,
                              csm_error *err)
{
    return add(adding, t, t->name, "", shaped(CSM_DTYPE_U8, &t->n_bytes, 1, t->data), err);
}

static csm_status add_one(struct adding *adding, const struct csm_gguf_tensor *t, csm_error *err)
{
    char name[CSM_NAME_MAX];
    enum csm_gguf_way way;
    size_t index = 0;
    if (!csm_gguf_rename(adding->source->dialect, t->name, name, &way, &index))
        return add_unknown(adding, t, err);
    const bool is_codec = strncmp(name, "codec_model.", strlen("codec_model.")) == 0;
    switch (way) {
    case CSM_GGUF_AS_IS:
        return t->rank == 2 && !is_codec ? add_matrix(adding, t, name, 0, err)
                                         : add_values(adding, t, name, t->shape, t->rank, err);
    case CSM_GGUF_UNPAIR:
        return add_matrix(adding, t, name, adding->source->head_dim, err);
    case CSM_GGUF_SPLIT:
        return add_split(adding, t, name, err);
    case CSM_GGUF_ENTRIES:
        return add_entries(adding, t, name, err);
    case CSM_GGUF_DIAGONAL:
        return add_diagonal(adding, t, name, err);
    case CSM_GGUF_WITH_KERNEL:
        return add_with_kernel(adding, t, name, err);
    case CSM_GGUF_TABLE:
        return remember(adding, t, index, adding->tables, err);
    case CSM_GGUF_HEAD:
        return remember(adding, t, index, adding->heads, err);
    case CSM_GGUF_ROPE:
    case CSM_GGUF_UNUSED:
        break;
    }
    return CSM_OK;
}

/* ---- what is one tensor a codebook --------------------------------------------- */

/* How many there are, without a gap and alike. */
static csm_status count_parts(const struct adding *adding,
                              const struct csm_gguf_tensor *const *list, size_t *n,
                              csm_error *err)
{
    *n = 0;
    while (*n < CSM_MAX_COUNT && list[*n] != NULL)
        ++*n;
    for (size_t i = *n; i < CSM_MAX_COUNT; i++)
        if (list[i] != NULL)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: %s: number %zu is missing, expected all before it",
                            adding->source->path, list[i]->name, *n);
    for (size_t i = 1; i < *n; i++)
        if (list[i]->type != list[0]->type ||
            memcmp(list[i]->shape, list[0]->shape, sizeof list[0]->shape) != 0)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: %s and %s differ in type or shape, expected one for all codebooks",
                            adding->source->path, list[0]->name, list[i]->name);
    return CSM_OK;
}

static csm_status add_tables(struct adding *adding, csm_error *err)
{
    static const char module[] = "backbone_model.embed_tokens.embed_audio_tokens";
    size_t n;
    csm_status st = count_parts(adding, adding->tables, &n, err);
    if (st != CSM_OK || n == 0)
        return st;
    const struct csm_gguf_tensor *t = adding->tables[0];
    const size_t shape[2] = {n * t->shape[0], t->shape[1]};
    if (!is_float(t))
        return add_affine(adding, rows_of(adding->tables, n, 0), module, shape, 2, err);
    void *copy;
    st = room(adding, n * t->n_bytes, t->name, &copy, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        memcpy((char *)copy + i * t->n_bytes, adding->tables[i]->data, t->n_bytes);
    return st == CSM_OK
               ? add(adding, t, module, ".weight", shaped(dtype_of(t->type), shape, 2, copy), err)
               : st;
}

/* Turn [rows, cols] of elements of `size` bytes over. */
static void transpose(const char *from, size_t rows, size_t cols, size_t size, char *to)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            memcpy(to + (c * rows + r) * size, from + (r * cols + c) * size, size);
}

static csm_status add_heads(struct adding *adding, csm_error *err)
{
    static const char module[] = "depth_decoder.codebooks_head";
    size_t n;
    csm_status st = count_parts(adding, adding->heads, &n, err);
    if (st != CSM_OK || n == 0)
        return st;
    const struct csm_gguf_tensor *t = adding->heads[0];
    const size_t stored[3] = {n, t->shape[0], t->shape[1]};
    const size_t shape[3] = {n, t->shape[1], t->shape[0]};
    if (!is_float(t)) /* groups go along the inputs, as they lie */
        return add_affine(adding, rows_of(adding->heads, n, 0), module, stored, 3, err);
    void *copy;
    st = room(adding, n * t->n_bytes, t->name, &copy, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        transpose(adding->heads[i]->data, t->shape[0], t->shape[1],
                  csm_dtype_size(dtype_of(t->type)), (char *)copy + i * t->n_bytes);
    return st == CSM_OK
               ? add(adding, t, module, ".weight", shaped(dtype_of(t->type), shape, 3, copy), err)
               : st;
}

/* ---- all ----------------------------------------------------------------------- */

/* The depth decoder's table where the backbone's is the same: the two are tied. */
static bool is_second_table(const csm_gguf *file, const struct csm_gguf_tensor *t)
{
    if (strcmp(t->name, "depth.token_embd.weight") != 0)
        return false;
    for (size_t i = 0; i < csm_gguf_count(file); i++) {
        const struct csm_gguf_tensor *other = csm_gguf_at(file, i);
        if (strcmp(other->name, "backbone.audio_embd.weight") == 0)
            return other->type == t->type && other->n_bytes == t->n_bytes &&
                   memcmp(other->shape, t->shape, sizeof t->shape) == 0 &&
                   memcmp(other->data, t->data, t->n_bytes) == 0;
    }
    return false;
}

csm_status csm_gguf_add(struct csm_tensor_set *set, const struct csm_gguf_source *source,
                        csm_error *err)
{
    struct adding adding = {.set = set,
                            .source = source,
                            .tables = calloc(CSM_MAX_COUNT, sizeof *adding.tables),
                            .heads = calloc(CSM_MAX_COUNT, sizeof *adding.heads)};
    csm_status st = CSM_OK;
    if (adding.tables == NULL || adding.heads == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", source->path);
    for (size_t i = 0; st == CSM_OK && i < csm_gguf_count(source->file); i++) {
        const struct csm_gguf_tensor *t = csm_gguf_at(source->file, i);
        if (!is_second_table(source->file, t))
            st = add_one(&adding, t, err);
    }
    if (st == CSM_OK)
        st = add_tables(&adding, err);
    if (st == CSM_OK)
        st = add_heads(&adding, err);
    csm_threads_free(adding.threads);
    free(adding.tables);
    free(adding.heads);
    return st;
}
