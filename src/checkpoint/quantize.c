/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c - the language model weight by weight, in the order of its roles,
 * under MLX's names; then the small files. */
#include <csm/quantize.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/affine.h"
#include "base/arithmetic.h"
#include "base/error.h"
#include "base/fp_blocks.h"
#include "base/numbers.h"
#include "base/threads.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/model_writer.h"
#include "files/path.h"

/* Tensors to be written; each owns its bytes and its name. */
struct list {
    size_t n, room;
    csm_tensor *tensors;
};

struct job {
    const csm_checkpoint *checkpoint;
    csm_threads *threads;
    const struct csm_fp_mode *mode; /* NULL: affine */
    int bits, group;
    struct list list;
    size_t n_groups;
    atomic_size_t n_zeroed;
};

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free((void *)list->tensors[i].data);
        free((void *)list->tensors[i].name);
    }
    free(list->tensors);
}

/* A new tensor with room for its bytes, which `data` receives. */
static csm_status list_add(struct list *list, const char *name, const char *suffix,
                           csm_dtype dtype, size_t rank, const size_t *shape, void **data,
                           csm_error *err)
{
    if (list->n == list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room;
        csm_tensor *grown = realloc(list->tensors, room * sizeof *grown);
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "quantize: a list of %zu tensors", room);
        list->tensors = grown;
        list->room = room;
    }
    csm_tensor t = {.dtype = dtype, .rank = rank, .n_bytes = csm_dtype_size(dtype)};
    for (size_t i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        t.n_bytes *= shape[i];
    }
    size_t n_name = strlen(name) + strlen(suffix) + 1;
    char *full = malloc(n_name);
    *data = malloc(t.n_bytes + 1);
    if (full == NULL || *data == NULL) {
        free(full);
        free(*data);
        return csm_fail(err, CSM_NO_MEMORY, "quantize: %s: no memory for %zu bytes", name,
                        t.n_bytes);
    }
    snprintf(full, n_name, "%s%s", name, suffix);
    t.name = full;
    t.data = *data;
    list->tensors[list->n++] = t;
    return CSM_OK;
}

/* An element in the type that is written. */
static uint16_t narrow(const csm_tensor *t, size_t i)
{
    return t->dtype == CSM_DTYPE_F32 ? csm_to_bf16(((const float *)t->data)[i])
                               : ((const uint16_t *)t->data)[i];
}

static csm_dtype narrow_dtype(const csm_tensor *t)
{
    return t->dtype == CSM_DTYPE_F16 ? CSM_DTYPE_F16 : CSM_DTYPE_BF16;
}

/* The source's row that MLX has as row r: HF has the halves of a head apart whose
 * elements MLX rotates as neighbours. */
static size_t source_row(size_t r, size_t head_dim)
{
    if (head_dim == 0)
        return r;
    size_t in_head = r % head_dim;
    return r - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

struct rows {
    const csm_tensor *source;
    size_t cols, head_dim; /* head_dim 0: rows stay where they are */
    const struct csm_fp_mode *mode; /* NULL: affine, or floats */
    int bits, group;                /* bits 0: floats */
    uint16_t *floats;
    uint32_t *words;
    uint16_t *scales, *biases; /* affine */
    uint8_t *fp_scales;        /* of a mode */
    float *scratch; /* of each thread: 4 * cols */
    atomic_size_t *n_zeroed;
};

/* Groups of a row of a mode that were something and are nothing; `values` is scratch. */
static size_t count_zeroed(const struct rows *w, const float *row, const uint8_t *codes,
                           const uint8_t *scales, float *values)
{
    size_t n = 0, group = (size_t)w->group;
    csm_fp_values(w->mode, codes, scales, w->cols, values);
    for (size_t first = 0; first < w->cols; first += group) {
        bool was = false, is = false;
        for (size_t c = first; c < first + group; c++) {
            was |= row[c] != 0;
            is |= values[c] != 0;
        }
        n += was && !is;
    }
    return n;
}

static void rows_work(void *user, size_t first, size_t end, int thread)
{
    const struct rows *w = user;
    size_t n_groups = w->bits != 0 ? w->cols / (size_t)w->group : 0;
    bool is_f16 = w->source->dtype == CSM_DTYPE_F16;
    float *row = w->scratch + (size_t)thread * 4 * w->cols;
    float *scales = row + w->cols, *biases = row + 2 * w->cols;
    uint8_t *codes = (uint8_t *)(row + 3 * w->cols);
    for (size_t r = first; r < end; r++) {
        size_t from = source_row(r, w->head_dim) * w->cols;
        if (w->bits == 0) {
            for (size_t c = 0; c < w->cols; c++)
                w->floats[r * w->cols + c] = narrow(w->source, from + c);
            continue;
        }
        for (size_t c = 0; c < w->cols; c++) {
            uint16_t h = narrow(w->source, from + c);
            row[c] = is_f16 ? csm_from_f16(h) : csm_from_bf16(h);
        }
        if (w->mode != NULL) {
            csm_fp_quantize(w->mode, narrow_dtype(w->source), row, w->cols, codes,
                            w->fp_scales + r * n_groups);
            atomic_fetch_add(w->n_zeroed,
                             count_zeroed(w, row, codes, w->fp_scales + r * n_groups, scales));
        } else
            csm_affine_quantize(row, w->cols, w->bits, w->group, codes, scales, biases);
        csm_affine_pack(codes, w->cols, w->bits, w->words + r * (w->cols * (size_t)w->bits / 32));
        for (size_t g = 0; w->mode == NULL && g < n_groups; g++) {
            size_t at = r * n_groups + g;
            w->scales[at] = is_f16 ? csm_to_f16(scales[g]) : csm_to_bf16(scales[g]);
            w->biases[at] = is_f16 ? csm_to_f16(biases[g]) : csm_to_bf16(biases[g]);
        }
    }
}

/* "X.weight" without its ending: where scales and biases hang. */
static csm_status add_weight(struct job *job, const char *name, const csm_tensor *source,
                             size_t head_dim, csm_error *err)
{
    size_t n_rows = source->shape[0], cols = 1;
    for (size_t i = 1; i < source->rank; i++)
        cols *= source->shape[i];
    struct rows w = {.source = source, .cols = cols, .head_dim = head_dim,
                     .n_zeroed = &job->n_zeroed};
    void *data = NULL;
    csm_status st;
    if (source->rank == 2 && cols % (size_t)job->group == 0) {
        char stem[CSM_NAME_MAX];
        snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
        w.mode = job->mode;
        w.bits = job->bits;
        w.group = job->group;
        size_t words[2] = {n_rows, cols * (size_t)job->bits / 32};
        size_t groups[2] = {n_rows, cols / (size_t)job->group};
        job->n_groups += groups[0] * groups[1];
        st = list_add(&job->list, stem, ".weight", CSM_DTYPE_U32, 2, words, &data, err);
        w.words = data;
        if (st == CSM_OK)
            st = list_add(&job->list, stem, ".scales",
                          w.mode != NULL ? CSM_DTYPE_U8 : narrow_dtype(source), 2, groups, &data,
                          err);
        w.scales = data;
        w.fp_scales = data;
        if (st == CSM_OK && w.mode == NULL)
            st = list_add(&job->list, stem, ".biases", narrow_dtype(source), 2, groups, &data, err);
        w.biases = data;
    } else {
        st = list_add(&job->list, name, "", narrow_dtype(source), source->rank, source->shape,
                      &data, err);
        w.floats = data;
    }
    if (st != CSM_OK)
        return st;
    w.scratch = malloc((size_t)csm_threads_count(job->threads) * 4 * cols * sizeof(float) + 1);
    if (w.scratch == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "quantize: %s: no memory", name);
    csm_threads_run(job->threads, rows_work, &w, n_rows, 8);
    free(w.scratch);
    return CSM_OK;
}

static csm_status add_part(struct job *job, enum csm_part part, csm_error *err)
{
    const csm_checkpoint *c = job->checkpoint;
    const struct csm_place place = {.layout = CSM_LAYOUT_MLX, .prefix = "model."};
    const bool has_halves = !csm_layout_has_pairs(c->info.layout);
    const size_t head_dim =
        part == CSM_DEPTH ? c->config.depth.head_dim : c->config.backbone.head_dim;
    for (int r = 0; r < CSM_ROLE_COUNT; r++) {
        const enum csm_role role = (enum csm_role)r;
        const bool is_heads = part == CSM_DEPTH && role == CSM_ROLE_HEAD;
        if (part == CSM_DEPTH && role == CSM_ROLE_AUDIO_TABLE)
            continue;
        /* The heads are one tensor. */
        const size_t n = is_heads ? 1 : csm_role_count(&c->config, part, role);
        for (size_t i = 0; i < n; i++) {
            struct csm_weight_source source;
            char name[CSM_NAME_MAX];
            csm_status st = csm_checkpoint_find(c, part, role, i, &source, err);
            if (st != CSM_OK)
                return st;
            if (source.format != CSM_WEIGHT_FLOAT)
                return csm_fail(err, CSM_BAD_FORMAT,
                                "%s: %s: quantized already, expected a model of floats",
                                c->directory, source.tensor.name);
            if (!csm_layout_name(&place, part, role, i, &c->config.codec, name))
                return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: MLX's layout has no place for it",
                                c->directory, source.tensor.name);
            csm_tensor *t = &source.tensor;
            if (is_heads) {
                t->n_bytes *= c->config.n_codebooks - 1;
                memmove(t->shape + 1, t->shape, t->rank * sizeof *t->shape);
                t->shape[0] = c->config.n_codebooks - 1;
                t->rank++;
            }
            const bool is_rotated = has_halves && (role == CSM_ROLE_Q || role == CSM_ROLE_K);
            st = add_weight(job, name, t, is_rotated ? head_dim : 0, err);
            if (st != CSM_OK)
                return st;
        }
    }
    return CSM_OK;
}

/* The codec's tensors as they are, under the names of a codec alone. */
static csm_status write_codec(const csm_checkpoint *c, const char *out_dir, csm_error *err)
{
    struct csm_tensor_list list;
    if (c->info.codec_layout == CSM_LAYOUT_NONE)
        return CSM_OK;
    csm_status st = csm_adapted_tensors(c, c->codec.set, c->codec.prefix, &list, err);
    if (st != CSM_OK)
        return st;
    st = csm_write_tensors(out_dir, "mimi.safetensors", list.tensors, list.n, "mlx", err);
    csm_tensor_list_free(&list);
    return st;
}

static csm_status write_config(const struct job *job, const char *out_dir, csm_error *err)
{
    json_t *root = json_deep_copy(job->checkpoint->root);
    for (int i = 0; i < 2; i++) /* mlx-lm writes it under both names */
        json_object_set_new(root, i == 0 ? "quantization" : "quantization_config",
                            json_pack("{s:i, s:i, s:s}", "group_size", job->group, "bits",
                                      job->bits, "mode",
                                      job->mode != NULL ? job->mode->name : "affine"));
    csm_status st = csm_write_json(out_dir, "config.json", root, err);
    json_decref(root);
    return st;
}

/* What is written in out_dir, config.json last. */
static const char *const written[] = {"model.safetensors",      "mimi.safetensors",
                                      "tokenizer.json",         "tokenizer_config.json",
                                      "special_tokens_map.json", "added_tokens.json",
                                      "generation_config.json", "mimi_config.json", "config.json"};
enum { COPIED_FIRST = 2, COPIED_END = 8 };

/* Would writing change the model that is read, or another that nobody gave up? */
static csm_status check_out_dir(const char *in_dir, const char *out_dir, bool replace,
                                csm_error *err)
{
    struct stat in, out;
    char path[4096];
    if (stat(out_dir, &out) != 0)
        return CSM_OK; /* not there yet */
    if (stat(in_dir, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return csm_fail(err, CSM_BAD_ARG,
                        "quantize: %s is the model that is read, expected another directory",
                        out_dir);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        snprintf(path, sizeof path, "%s/%s", in_dir, written[i]);
        bool is_read = stat(path, &in) == 0;
        snprintf(path, sizeof path, "%s/%s", out_dir, written[i]);
        bool is_there = stat(path, &out) == 0;
        if (is_read && is_there && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return csm_fail(err, CSM_BAD_ARG,
                            "quantize: %s is a file of the model that is read, expected another",
                            path);
        if (is_there && !replace && strcmp(written[i], "config.json") == 0)
            return csm_fail(err, CSM_BAD_ARG,
                            "quantize: %s holds a model, expected a new or empty directory "
                            "(--force overwrites it)",
                            out_dir);
    }
    return CSM_OK;
}

/* The mode of that name, or affine; its one number of bits and group where 0 is asked. */
static csm_status choose_mode(const char *mode, struct job *job, csm_error *err)
{
    const bool is_affine = mode == NULL || strcmp(mode, "affine") == 0;
    job->mode = is_affine ? NULL : csm_fp_mode_named(mode);
    if (is_affine && !csm_affine_fits(job->bits, job->group, 0))
        return csm_fail(err, CSM_BAD_ARG,
                        "quantize: %d bits in groups of %d, expected 1 to 6 or 8 in groups of 32, "
                        "64 or 128",
                        job->bits, job->group);
    if (is_affine)
        return CSM_OK;
    if (job->mode == NULL)
        return csm_fail(err, CSM_BAD_ARG,
                        "quantize: mode %s, expected affine, mxfp4, mxfp8 or nvfp4", mode);
    if ((job->bits != 0 && job->bits != job->mode->bits) ||
        (job->group != 0 && job->group != job->mode->group))
        return csm_fail(err, CSM_BAD_ARG,
                        "quantize: %s of %d bits in groups of %d, expected %d in groups of %d", mode,
                        job->bits != 0 ? job->bits : job->mode->bits,
                        job->group != 0 ? job->group : job->mode->group, job->mode->bits,
                        job->mode->group);
    job->bits = job->mode->bits;
    job->group = job->mode->group;
    return CSM_OK;
}

static csm_status quantize(const char *in_dir, const char *out_dir, const char *mode, int bits,
                           int group, bool replace, csm_quantize_report *report, csm_error *err)
{
    struct job job = {.bits = bits, .group = group};
    csm_checkpoint *checkpoint = NULL;
    csm_status st = choose_mode(mode, &job, err);
    if (st == CSM_OK)
        st = check_out_dir(in_dir, out_dir, replace, err);
    if (st == CSM_OK)
        st = csm_checkpoint_open(in_dir, CSM_NEEDS_LANGUAGE, &checkpoint, err);
    if (st == CSM_OK) /* one that lies in the directory is part of the model */
        st = csm_checkpoint_adapt(checkpoint, NULL, 0, 0, CSM_ADAPT_WHOLE, err);
    if (st != CSM_OK) {
        csm_checkpoint_close(checkpoint);
        return st;
    }
    job.checkpoint = checkpoint;
    if (!checkpoint->config.has_tied_tables)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: the depth decoder has a table of its own; MLX's layout has one for both",
                      in_dir);
    if (st == CSM_OK)
        st = csm_threads_new(0, &job.threads, err);
    if (st == CSM_OK)
        st = add_part(&job, CSM_BACKBONE, err);
    if (st == CSM_OK)
        st = add_part(&job, CSM_DEPTH, err);
    if (st == CSM_OK && mkdir(out_dir, 0777) != 0 && errno != EEXIST)
        st = csm_fail(err, CSM_BAD_FILE, "%s: %s", out_dir, strerror(errno));
    if (st == CSM_OK)
        st = csm_write_tensors(out_dir, "model.safetensors", job.list.tensors, job.list.n, "mlx", err);
    if (st == CSM_OK)
        st = write_codec(checkpoint, out_dir, err);
    for (size_t i = COPIED_FIRST; st == CSM_OK && i < COPIED_END; i++)
        st = csm_copy_if_there(in_dir, out_dir, written[i], err);
    if (st == CSM_OK && checkpoint->is_gguf)
        st = csm_copy_tokenizer(checkpoint, out_dir, err);
    if (st == CSM_OK)
        st = write_config(&job, out_dir, err);
    if (st == CSM_OK && report != NULL)
        *report = (csm_quantize_report){job.n_groups, atomic_load(&job.n_zeroed)};
    list_free(&job.list);
    csm_threads_free(job.threads);
    csm_checkpoint_close(checkpoint);
    return st;
}

csm_status csm_quantize(const char *in_dir, const char *out_dir, const char *mode, int bits,
                        int group, bool replace, csm_quantize_report *report, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = quantize(in_dir, out_dir, mode, bits, group, replace, report, err);
    csm_arithmetic_end(&host);
    return st;
}
