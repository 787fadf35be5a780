/* SPDX-License-Identifier: Apache-2.0
 *
 * dequantize.c - see dequantize.h. First each tensor is looked at: it is converted, goes into one
 * that is, or stays. Then a new set is filled in the old one's order. */
#include "checkpoint/dequantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fp_blocks.h"
#include "base/numbers.h"
#include "base/threads.h"
#include "checkpoint/weight_row.h"
#include "files/json_file.h"
#include "files/path.h"

/* A matrix [rows, cols] whose codes stand for table[code] * scale * factor. */
struct job {
    const char *kind; /* of what is converted; NULL: nothing is */
    const csm_tensor *codes;
    csm_tensor made; /* its bytes are the set's */
    size_t rows, cols;
    float table[256];
    float *scales;                  /* [rows / block_rows, cols / block_cols], or of 4 bits [blocks] */
    size_t block_rows, block_cols;  /* of 4 bits: the first is 0, the second the elements of a block */
    float factor;
    csm_dtype rounded_to; /* the product, before it becomes made.dtype */
};

/* What is looked at: the set, and the tensors that go into others. */
struct look {
    const struct csm_tensor_set *set;
    bool *is_part; /* [set->n] */
    csm_dtype dtype; /* the model's, by config.json */
    bool has_integers; /* compressed-tensors: I8 with a scale is a weight */
    bool is_out_of_memory; /* a name could not be looked up */
    csm_error *err;
};

/* A type as PyTorch calls it; F32 for any other name, or none. */
static csm_dtype dtype_named(const char *name)
{
    if (name != NULL && strcmp(name, "bfloat16") == 0)
        return CSM_DTYPE_BF16;
    return name != NULL && strcmp(name, "float16") == 0 ? CSM_DTYPE_F16 : CSM_DTYPE_F32;
}

/* The type that transformers gives a model of that config.json. */
static csm_dtype model_dtype(const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "dtype"));
    return dtype_named(name != NULL ? name : json_string_value(json_object_get(root, "torch_dtype")));
}

/* The tensor NAME SUFFIX, marked as a part of another; NULL: none. */
static const csm_tensor *part_of(struct look *look, const char *name, const char *suffix)
{
    const size_t size = strlen(name) + strlen(suffix) + 1;
    char *full = malloc(size);
    if (full == NULL) {
        look->is_out_of_memory = true;
        return NULL;
    }
    snprintf(full, size, "%s%s", name, suffix);
    const struct csm_set_tensor *found = csm_tensor_set_find(look->set, full);
    free(full);
    if (found == NULL)
        return NULL;
    look->is_part[found - look->set->tensors] = true;
    return &found->tensor;
}

static csm_status refuse(const struct look *look, const csm_tensor *tensor, const char *expected)
{
    return csm_fail(look->err, CSM_BAD_FORMAT, "%s: dtype %s, %zu bytes: expected %s", tensor->name,
                    csm_dtype_name(tensor->dtype), tensor->n_bytes, expected);
}

static size_t n_elements(const csm_tensor *t)
{
    return t->n_bytes / csm_dtype_size(t->dtype);
}

/* Numbers as float32, to be freed: floats, or powers of two (e8m0). */
static csm_status read_floats(const struct look *look, const csm_tensor *t, float **out)
{
    const size_t n = n_elements(t);
    const bool is_e8m0 = t->dtype == CSM_DTYPE_F8_E8M0 || t->dtype == CSM_DTYPE_U8;
    if (!is_e8m0 && !csm_is_float(t->dtype))
        return refuse(look, t, "scales of floats");
    float *x = malloc((n + 1) * sizeof *x);
    if (x == NULL)
        return csm_fail(look->err, CSM_NO_MEMORY, "%s: out of memory", t->name);
    if (!is_e8m0)
        (void)csm_tensor_floats(t, 0, n, x);
    for (size_t i = 0; i < n; i++) {
        if (is_e8m0)
            x[i] = csm_from_e8m0(((const uint8_t *)t->data)[i]);
        if (!isfinite(x[i])) {
            free(x);
            return csm_fail(look->err, CSM_BAD_FORMAT, "%s: NaN or Inf at %zu, expected scales",
                            t->name, i);
        }
    }
    *out = x;
    return CSM_OK;
}

/* Rows and columns of a tensor of any rank: the last axis is a row's. */
static void set_shape(struct job *job, const csm_tensor *codes, csm_dtype dtype)
{
    job->codes = codes;
    job->made = *codes;
    job->made.dtype = job->rounded_to = dtype;
    job->cols = codes->rank > 0 ? codes->shape[codes->rank - 1] : 1;
    job->rows = job->cols > 0 ? n_elements(codes) / job->cols : 0;
    job->made.n_bytes = job->rows * job->cols * csm_dtype_size(dtype);
    job->block_rows = job->rows;
    job->block_cols = job->cols;
    job->factor = 1;
}

/* Scales of all, of rows, or of blocks. */
static csm_status set_scales(const struct look *look, struct job *job, const csm_tensor *scales)
{
    size_t rows = 1, cols = 1;
    if (scales->rank == 1 && scales->shape[0] > 1)
        rows = scales->shape[0];
    else if (scales->rank == 2) {
        rows = scales->shape[0];
        cols = scales->shape[1];
    }
    if (job->codes->rank != 2 || scales->rank > 2 || n_elements(scales) != rows * cols ||
        rows * cols == 0 || job->rows % rows != 0 || job->cols % cols != 0)
        return csm_fail(look->err, CSM_BAD_FORMAT,
                        "%s: %zu scales of %s [%zu, %zu], expected one, one of each row, or of blocks "
                        "that it divides into",
                        scales->name, n_elements(scales), job->codes->name, job->rows, job->cols);
    job->block_rows = job->rows / rows;
    job->block_cols = job->cols / cols;
    return read_floats(look, scales, &job->scales);
}

/* What the 256 codes of a byte stand for. */
static void set_table(struct job *job, csm_dtype dtype)
{
    for (int code = 0; code < 256; code++) {
        if (dtype == CSM_DTYPE_I8)
            job->table[code] = (float)(code < 128 ? code : code - 256);
        else if (dtype == CSM_DTYPE_F8_E5M2)
            job->table[code] = csm_from_f16((uint16_t)(code << 8));
        else /* torch's, which has NaN at the largest */
            job->table[code] = (code & 0x7f) == 0x7f ? NAN : csm_from_e4m3((uint8_t)code);
    }
}

static csm_status look_at_bytes(struct look *look, const char *name, const csm_tensor *t,
                              struct job *job)
{
    job->kind = t->dtype == CSM_DTYPE_F8_E4M3 ? "FP8 (e4m3)"
                : t->dtype == CSM_DTYPE_F8_E5M2 ? "FP8 (e5m2)"
                                                : "8-bit integers";
    set_table(job, t->dtype);
    const csm_tensor *inverse = part_of(look, name, "_scale_inv");
    const csm_tensor *scale = inverse != NULL ? inverse : part_of(look, name, "_scale");
    set_shape(job, t, scale != NULL ? look->dtype : CSM_DTYPE_BF16);
    if (scale == NULL)
        return CSM_OK;
    if (inverse == NULL) /* compressed-tensors multiplies in the scales' type */
        job->rounded_to = scale->dtype;
    return set_scales(look, job, scale);
}

static csm_status look_at_8_bits(struct look *look, const csm_tensor *t, const csm_tensor *scales,
                                 struct job *job)
{
    job->kind = "bitsandbytes (8 bits)";
    set_table(job, t->dtype);
    set_shape(job, t, look->dtype);
    job->factor = 7.874015718698502e-3f; /* 1 / 127 */
    return set_scales(look, job, scales);
}

/* Scales that are stored in 8 bits themselves. */
static csm_status unnest(struct look *look, const char *name, const csm_tensor *codes,
                         struct csm_json_reader *json, const json_t *state, float **out)
{
    const csm_tensor *map = part_of(look, name, ".nested_quant_map");
    const csm_tensor *absmax = part_of(look, name, ".nested_absmax");
    const size_t block = (size_t)csm_json_integer(json, state, "nested_blocksize", 256, 1, 1 << 20);
    const float offset = (float)csm_json_number(json, state, "nested_offset", 0, -1e30, 1e30);
    const size_t n = n_elements(codes);
    if (json->status != CSM_OK)
        return json->status;
    if (map == NULL || absmax == NULL || n_elements(map) != 256 ||
        n_elements(absmax) != (n + block - 1) / block)
        return refuse(look, codes, "its nested_quant_map of 256 and nested_absmax of each block");
    float *values = NULL, *scales = NULL;
    csm_status st = read_floats(look, map, &values);
    if (st == CSM_OK)
        st = read_floats(look, absmax, &scales);
    if (st == CSM_OK && (*out = malloc((n + 1) * sizeof **out)) == NULL)
        st = csm_fail(look->err, CSM_NO_MEMORY, "%s: out of memory", codes->name);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        const float scaled = values[((const uint8_t *)codes->data)[i]] * scales[i / block];
        (*out)[i] = scaled + offset;
    }
    free(values);
    free(scales);
    return st;
}

/* bitsandbytes' 4 bits: the first of two is the high half of a byte. */
static csm_status look_at_4_bits(struct look *look, const char *name, const csm_tensor *t,
                                 const csm_tensor *state_bytes, struct job *job)
{
    struct csm_json_reader json = {state_bytes->name, CSM_OK, look->err};
    json_t *state = NULL;
    csm_status st = csm_json_parse(state_bytes->name, state_bytes->data, state_bytes->n_bytes,
                                   &state, look->err);
    if (st != CSM_OK)
        return st;
    const json_t *shape = json_object_get(state, "shape");
    const csm_tensor *absmax = part_of(look, name, ".absmax");
    const csm_tensor *map = part_of(look, name, ".quant_map");
    const size_t block = (size_t)csm_json_integer(&json, state, "blocksize", 64, 1, 1 << 20);
    const csm_dtype dtype = dtype_named(csm_json_text(&json, state, "dtype", ""));
    job->kind = "bitsandbytes (4 bits)";
    set_shape(job, t, dtype);
    job->made.rank = json_array_size(shape);
    size_t n = job->made.rank == 2 ? 1 : 0;
    for (size_t i = 0; i < 2 && n > 0; i++) {
        const json_int_t size = json_integer_value(json_array_get(shape, i));
        job->made.shape[i] = size > 0 ? (size_t)size : 0;
        n = job->made.shape[i] <= 2 * t->n_bytes / n ? n * job->made.shape[i] : 0;
    }
    const size_t n_blocks = (n + block - 1) / block;
    job->made.n_bytes = n * csm_dtype_size(dtype);
    job->rows = n_blocks;
    job->cols = n;
    job->block_rows = 0;
    job->block_cols = block;
    if (json.status != CSM_OK)
        st = json.status;
    else if (n == 0 || t->n_bytes != (n + 1) / 2)
        st = refuse(look, t, "4 bits of each element of the shape in its quant_state");
    else if (absmax == NULL || map == NULL || n_elements(map) != 16 ||
             n_elements(absmax) != n_blocks)
        st = refuse(look, t, "its quant_map of 16, and an absmax of each block");
    float *values = NULL;
    if (st == CSM_OK)
        st = read_floats(look, map, &values);
    for (size_t i = 0; st == CSM_OK && i < 16; i++)
        job->table[i] = values[i];
    free(values);
    if (st == CSM_OK)
        st = absmax->dtype == CSM_DTYPE_U8
                 ? unnest(look, name, absmax, &json, state, &job->scales)
                 : read_floats(look, absmax, &job->scales);
    json_decref(state);
    return st;
}

/* "X.weight" without ".weight", then a suffix. */
static const csm_tensor *beside(struct look *look, const char *name, const char *suffix)
{
    char module[512];
    if (!csm_path_ends_with(name, ".weight") || strlen(name) >= sizeof module)
        return NULL;
    snprintf(module, sizeof module, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    return part_of(look, module, suffix);
}

/* What becomes of a tensor; job->kind NULL: it stays. */
static csm_status look_at(struct look *look, const struct csm_set_tensor *t, struct job *job)
{
    const csm_tensor *tensor = &t->tensor;
    *job = (struct job){0};
    if (tensor->dtype == CSM_DTYPE_F64) {
        job->kind = "F64";
        set_shape(job, tensor, CSM_DTYPE_F32);
        return CSM_OK;
    }
    const csm_tensor *state = part_of(look, t->name, ".quant_state.bitsandbytes__nf4");
    if (state == NULL)
        state = part_of(look, t->name, ".quant_state.bitsandbytes__fp4");
    if (state != NULL)
        return look_at_4_bits(look, t->name, tensor, state, job);
    if (tensor->dtype == CSM_DTYPE_I8) {
        const csm_tensor *scales = beside(look, t->name, ".SCB");
        if (scales != NULL) {
            (void)beside(look, t->name, ".weight_format");
            return look_at_8_bits(look, tensor, scales, job);
        }
    }
    if (tensor->dtype == CSM_DTYPE_F8_E4M3 || tensor->dtype == CSM_DTYPE_F8_E5M2 ||
        (tensor->dtype == CSM_DTYPE_I8 && look->has_integers)) {
        static const char *const of_activations[] = {".input_scale", ".activation_scale",
                                                     ".output_scale"};
        for (size_t i = 0; i < 3; i++)
            (void)beside(look, t->name, of_activations[i]);
        return look_at_bytes(look, t->name, tensor, job);
    }
    return CSM_OK;
}

/* Rows of codes; of F64, of numbers. */
static void make_rows(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    const uint8_t *codes = job->codes->data;
    const size_t size = csm_dtype_size(job->made.dtype);
    float values[1024];
    (void)thread;
    for (size_t r = first; r < end; r++)
        for (size_t c = 0; c < job->cols;) {
            const size_t rest = job->block_cols - c % job->block_cols;
            const size_t n = rest < 1024 ? rest : 1024, at = r * job->cols + c;
            const float scale =
                job->scales != NULL
                    ? job->scales[r / job->block_rows * (job->cols / job->block_cols) +
                                  c / job->block_cols]
                    : 1;
            if (!csm_tensor_floats(job->codes, at, n, values))
                for (size_t i = 0; i < n; i++)
                    values[i] = csm_round_to(job->rounded_to,
                                             job->table[codes[at + i]] * scale * job->factor);
            csm_floats_store(values, n, job->made.dtype, (char *)job->made.data + at * size);
            c += n;
        }
}

/* Blocks of 4 bits. */
static void make_blocks(void *user, size_t first, size_t end, int thread)
{
    const struct job *job = user;
    const uint8_t *codes = job->codes->data;
    const size_t size = csm_dtype_size(job->made.dtype);
    float values[1024];
    (void)thread;
    for (size_t b = first; b < end; b++) {
        const size_t begin = b * job->block_cols, rest = job->cols - begin;
        const size_t stop = begin + (rest < job->block_cols ? rest : job->block_cols);
        for (size_t at = begin; at < stop;) {
            const size_t n = stop - at < 1024 ? stop - at : 1024;
            for (size_t i = 0; i < n; i++) {
                const uint8_t two = codes[(at + i) / 2];
                values[i] = job->table[(at + i) % 2 == 0 ? two >> 4 : two & 15] * job->scales[b];
            }
            csm_floats_store(values, n, job->made.dtype, (char *)job->made.data + at * size);
            at += n;
        }
    }
}

/* Make the tensor and add it to the new set, which owns its bytes. */
static csm_status convert(struct job *job, const struct csm_set_tensor *from,
                          struct csm_tensor_set *into, csm_threads *threads, csm_error *err)
{
    void *bytes = malloc(job->made.n_bytes + 1);
    if (bytes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: no memory to make floats of it", from->tensor.name);
    csm_status st = csm_tensor_set_keep(into, bytes, free, err);
    if (st != CSM_OK)
        return st;
    job->made.data = bytes;
    csm_threads_run(threads, job->block_rows == 0 ? make_blocks : make_rows, job, job->rows, 64);
    st = csm_tensor_set_add(into, &job->made, CSM_WEIGHT_FLOAT, from->file, err);
    if (st == CSM_OK)
        into->tensors[into->n - 1].stored =
            (struct csm_set_stored){job->kind, from->tensor.n_bytes};
    return st;
}

static void free_set(void *set)
{
    csm_tensor_set_free(set);
}

/* All of the old set into the new one. */
static csm_status fill(struct look *look, struct job *jobs, struct csm_tensor_set *into)
{
    csm_threads *threads = NULL;
    csm_status st = csm_threads_new(0, &threads, look->err);
    for (size_t i = 0; st == CSM_OK && i < look->set->n_headers; i++)
        st = csm_tensor_set_add_header(into, look->set->headers[i].bytes, look->set->headers[i].n,
                                       look->err);
    for (size_t i = 0; st == CSM_OK && i < look->set->n; i++) {
        const struct csm_set_tensor *t = &look->set->tensors[i];
        if (look->is_part[i])
            continue;
        if (jobs[i].kind != NULL)
            st = convert(&jobs[i], t, into, threads, look->err);
        else
            st = csm_tensor_set_add(into, &t->tensor, t->format, t->file, look->err);
    }
    into->doubled = look->set->doubled;
    csm_threads_free(threads);
    return st;
}

/* One line for each kind. */
static csm_status note_kinds(const struct look *look, const struct job *jobs,
                             struct csm_notes *notes)
{
    struct {
        const struct job *first;
        size_t n;
    } kinds[8] = {{0}};
    csm_status st = CSM_OK;
    for (size_t i = 0; i < look->set->n; i++) {
        size_t k = 0;
        if (jobs[i].kind == NULL || look->is_part[i])
            continue;
        while (kinds[k].n > 0 && strcmp(kinds[k].first->kind, jobs[i].kind) != 0)
            k++;
        if (kinds[k].n++ == 0)
            kinds[k].first = &jobs[i];
    }
    for (size_t k = 0; st == CSM_OK && kinds[k].n > 0; k++)
        st = csm_notes_add(notes, false, look->err, "%s: %zu tensors of %s are made %s as it opens",
                           look->set->name, kinds[k].n, kinds[k].first->kind,
                           csm_dtype_name(kinds[k].first->made.dtype));
    return st;
}

csm_status csm_dequantize(struct csm_tensor_set **set, const json_t *root,
                          struct csm_notes *notes, csm_error *err)
{
    struct csm_tensor_set *old = *set, *made = NULL;
    const size_t n_old = old->n;
    const json_t *said = json_object_get(root, "quantization_config");
    const char *method = json_string_value(json_object_get(said, "quant_method"));
    struct look look = {.set = old,
                        .is_part = calloc(old->n + 1, sizeof *look.is_part),
                        .dtype = model_dtype(root),
                        .has_integers =
                            method != NULL && strcmp(method, "compressed-tensors") == 0,
                        .err = err};
    struct job *jobs = calloc(old->n + 1, sizeof *jobs);
    csm_status st = CSM_OK;
    size_t n = 0;
    if (look.is_part == NULL || jobs == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", old->name);
    for (size_t i = 0; st == CSM_OK && i < old->n; i++) {
        st = look_at(&look, &old->tensors[i], &jobs[i]);
        if (st == CSM_OK && look.is_out_of_memory)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", old->name);
        n += jobs[i].kind != NULL;
    }
    if (st == CSM_OK && n > 0)
        st = csm_tensor_set_new(old->name, &made, err);
    if (made != NULL && old->wrapper != NULL && (made->wrapper = strdup(old->wrapper)) == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", old->name);
    if (made != NULL && st == CSM_OK)
        st = fill(&look, jobs, made);
    if (made != NULL && st == CSM_OK && notes != NULL)
        st = note_kinds(&look, jobs, notes);
    if (made != NULL && st == CSM_OK) {
        st = csm_tensor_set_keep(made, old, free_set, err);
        *set = made;
        made = NULL;
    }
    csm_tensor_set_free(made);
    for (size_t i = 0; jobs != NULL && i < n_old; i++)
        free(jobs[i].scales);
    free(jobs);
    free(look.is_part);
    return st;
}
