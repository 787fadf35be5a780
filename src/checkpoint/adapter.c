/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter.c - an adapter's directory: whose it is, its tensors as patches of roles. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/numbers.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/low_rank.h"
#include "checkpoint/tensor_files.h"
#include "files/json_file.h"
#include "files/path.h"

bool csm_adapter_is_there(const char *directory)
{
    return csm_folder_has(&(struct csm_folder){.path = directory}, "adapter_config.json");
}

struct csm_patch *csm_adapters_find(const struct csm_adapters *adapters, enum csm_part part,
                                          enum csm_role role, size_t index)
{
    for (size_t i = 0; i < adapters->n; i++) {
        struct csm_patch *p = &adapters->patches[i];
        if (p->part == part && p->role == role && p->index == index)
            return p;
    }
    return NULL;
}

static struct csm_patch *make_patch(struct csm_adapters *adapters, enum csm_part part,
                                    enum csm_role role, size_t index)
{
    struct csm_patch *found = csm_adapters_find(adapters, part, role, index);
    if (found != NULL)
        return found;
    struct csm_patch *grown = realloc(adapters->patches, (adapters->n + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    adapters->patches = grown;
    grown[adapters->n] = (struct csm_patch){.part = part, .role = role, .index = index};
    return &grown[adapters->n++];
}

/* Left sides of floats out of a tensor by strides: [rows, rank]. */
static void gather_left(const csm_tensor *tensor, struct csm_stride stride, size_t rows, size_t rank,
                        float scale, float *out)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < rank; k++)
            *out++ = scale * csm_element(tensor, stride.at + row * stride.line + k * stride.rank);
}

/* Right sides: in panels, whose missing columns are zero. */
static void gather_right(const csm_tensor *tensor, struct csm_stride stride, size_t cols,
                         size_t rank, float *out)
{
    for (size_t first = 0; first < cols; first += CSM_LOW_RANK_PANEL)
        for (size_t k = 0; k < rank; k++)
            for (size_t c = first; c < first + CSM_LOW_RANK_PANEL; c++)
                *out++ = c < cols ? csm_element(tensor, stride.at + c * stride.line +
                                                            k * stride.rank)
                                  : 0;
}

static csm_status refuse_shape(const struct csm_adapter_reader *reader,
                               const struct csm_set_tensor *t, const char *expected)
{
    return csm_fail(reader->err, CSM_BAD_FORMAT,
                    "%s: %s: not of a shape that fits the model: expected %s", reader->directory,
                    t->tensor.name, expected);
}

/* One NaN would make NaN of all that the model says. */
static bool are_numbers(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static csm_status refuse_value(const struct csm_adapter_reader *reader, const struct csm_set_tensor *t)
{
    return csm_fail(reader->err, CSM_BAD_FORMAT,
                    "%s: %s: NaN, Inf, or beyond float32 by its scale, expected numbers",
                    reader->directory, t->tensor.name);
}

static size_t n_elements(const csm_tensor *t)
{
    return t->n_bytes / csm_dtype_size(t->dtype);
}

csm_status csm_adapter_add_pair(struct csm_adapter_reader *reader, struct csm_patch *patch,
                                const struct csm_set_tensor *left, struct csm_stride of_left,
                                const struct csm_set_tensor *right, struct csm_stride of_right,
                                size_t rank, double scale, const struct csm_set_tensor *magnitude,
                                bool is_by_column, bool has_pairs)
{
    csm_error *err = reader->err;
    const struct csm_shape shape = csm_role_shape(csm_checkpoint_config(reader->checkpoint),
                                                  patch->part, patch->role, patch->index);
    const bool is_heads = patch->part == CSM_DEPTH && patch->role == CSM_ROLE_HEAD;
    if (shape.rank != (is_heads ? 3u : 2u))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: a low-rank pair of what is no matrix",
                        reader->directory, left->tensor.name);
    struct csm_delta delta = {.rows = shape.size[is_heads],
                              .cols = shape.size[is_heads + 1],
                              .rank = rank,
                              .is_by_column = is_by_column};
    const size_t n_magnitude = is_by_column ? delta.cols : delta.rows;
    const struct csm_set_tensor *const all[] = {left, right, magnitude};
    for (size_t i = 0; i < 3; i++)
        if (all[i] != NULL && !csm_is_float(all[i]->tensor.dtype))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: dtype %s, expected F64, F32, F16 or BF16",
                            reader->directory, all[i]->tensor.name,
                            csm_dtype_name(all[i]->tensor.dtype));
    const size_t last_left = of_left.at + (delta.rows - 1) * of_left.line +
                             (rank - 1) * of_left.rank;
    const size_t last_right = of_right.at + (delta.cols - 1) * of_right.line +
                              (rank - 1) * of_right.rank;
    if (rank == 0 || last_left >= n_elements(&left->tensor))
        return refuse_shape(reader, left, "the weight's rows by the rank");
    if (last_right >= n_elements(&right->tensor))
        return refuse_shape(reader, right, "the weight's columns by the rank");
    if (magnitude != NULL && n_elements(&magnitude->tensor) != n_magnitude)
        return refuse_shape(reader, magnitude, "a magnitude for each row");

    delta.left = malloc(delta.rows * rank * sizeof(float));
    delta.right = malloc(csm_low_rank_size(rank, delta.cols) * sizeof(float));
    if (magnitude != NULL)
        delta.magnitude = malloc(n_magnitude * sizeof(float));
    struct csm_patched *grown = realloc(patch->deltas, (patch->n + 1) * sizeof *grown);
    if (grown != NULL)
        patch->deltas = grown;
    if (grown == NULL || delta.left == NULL || delta.right == NULL ||
        (magnitude != NULL && delta.magnitude == NULL)) {
        free(delta.left);
        free(delta.right);
        free(delta.magnitude);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", reader->directory);
    }
    gather_left(&left->tensor, of_left, delta.rows, rank, (float)(scale * reader->scale),
                delta.left);
    gather_right(&right->tensor, of_right, delta.cols, rank, delta.right);
    if (magnitude != NULL)
        (void)csm_tensor_floats(&magnitude->tensor, 0, n_magnitude, delta.magnitude);
    patch->deltas[patch->n++] = (struct csm_patched){delta, has_pairs};
    if (!are_numbers(delta.left, delta.rows * rank))
        return refuse_value(reader, left);
    if (!are_numbers(delta.right, delta.cols * rank))
        return refuse_value(reader, right);
    return magnitude == NULL || are_numbers(delta.magnitude, n_magnitude)
               ? CSM_OK
               : refuse_value(reader, magnitude);
}

static csm_status add_whole(struct csm_adapter_reader *reader, struct csm_patch *patch,
                            struct csm_set_tensor *whole, bool has_pairs)
{
    csm_error *err = reader->err;
    whole->is_bound = true;
    const struct csm_shape shape = csm_role_shape(csm_checkpoint_config(reader->checkpoint),
                                                  patch->part, patch->role, patch->index);
    if (!csm_dtype_is_weight(whole->tensor.dtype))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: dtype %s, expected F32, F16 or BF16",
                        reader->directory, whole->tensor.name,
                        csm_dtype_name(whole->tensor.dtype));
    if (!csm_has_shape(&whole->tensor, &shape))
        return csm_refuse_shape(&whole->tensor, &shape, whole->file, err);
    if (patch->whole.data != NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: another adapter keeps it whole already",
                        reader->directory, whole->tensor.name);
    patch->whole = whole->tensor;
    if (patch->part == CSM_DEPTH && patch->role == CSM_ROLE_HEAD) {
        csm_tensor *t = &patch->whole;
        t->n_bytes /= t->shape[0];
        t->data = (const char *)t->data + patch->index * t->n_bytes;
    }
    patch->whole_has_pairs = has_pairs;
    return CSM_OK;
}

csm_status csm_adapter_add_rows(struct csm_adapter_reader *reader, struct csm_patch *patch,
                                struct csm_set_tensor *rows, const json_t *tokens)
{
    csm_error *err = reader->err;
    const csm_tensor *tensor = &rows->tensor;
    const struct csm_shape shape = csm_role_shape(csm_checkpoint_config(reader->checkpoint),
                                                  patch->part, patch->role, patch->index);
    const size_t n = json_array_size(tokens), n_cols = shape.size[1];
    rows->is_bound = true;
    if (!csm_is_float(tensor->dtype))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: dtype %s, expected F64, F32, F16 or BF16",
                        reader->directory, tensor->name, csm_dtype_name(tensor->dtype));
    if (!csm_has_shape(tensor, &(struct csm_shape){2, {n, n_cols}}))
        return refuse_shape(reader, rows, "a row for each token that adapter_config.json names, as "
                                          "wide as the table's");
    struct csm_own_row *grown =
        realloc(patch->own_rows, (patch->n_own_rows + n + 1) * sizeof *grown);
    float *row = malloc((n_cols + 1) * sizeof *row);
    if (grown != NULL)
        patch->own_rows = grown;
    csm_status st = grown == NULL || row == NULL
                        ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", reader->directory)
                        : CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        const json_t *token = json_array_get(tokens, i);
        const json_int_t number = json_integer_value(token);
        if (!json_is_integer(token) || number < 0 || (uintmax_t)number >= shape.size[0])
            st = csm_fail(err, CSM_BAD_FORMAT,
                          "%s/adapter_config.json: token %zu of %s: expected a row of the table, an "
                          "integer from 0 to %zu",
                          reader->directory, i, tensor->name, shape.size[0] - 1);
        (void)csm_tensor_floats(tensor, i * n_cols, n_cols, row);
        if (st == CSM_OK && !are_numbers(row, n_cols))
            st = refuse_value(reader, rows);
        if (st == CSM_OK)
            patch->own_rows[patch->n_own_rows++] = (struct csm_own_row){(size_t)number, *tensor, i};
    }
    free(row);
    return st;
}

void csm_adapter_module(const char *name, char *module, size_t size)
{
    snprintf(module, size, "%s", name);
    if (csm_path_ends_with(module, ".weight"))
        module[strlen(module) - strlen(".weight")] = '\0';
}

csm_status csm_adapter_begin(struct csm_adapter_reader *reader, enum csm_part part,
                             enum csm_role role, size_t index, struct csm_set_tensor *whole,
                             bool has_pairs, struct csm_patch **patch)
{
    *patch = make_patch(reader->adapters, part, role, index);
    if (*patch == NULL)
        return csm_fail(reader->err, CSM_NO_MEMORY, "%s: out of memory", reader->directory);
    return whole != NULL ? add_whole(reader, *patch, whole, has_pairs) : CSM_OK;
}

static csm_status keep_name(const char *directory, const char *found, char **name, csm_error *err)
{
    *name = strdup(found);
    return *name != NULL ? CSM_OK : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
}

/* The first of the shards that save_pretrained makes of a large adapter, if there are some. */
static csm_status find_shard(const char *directory, char **name, csm_error *err)
{
    static const char stem[] = "adapter_model";
    struct csm_listing listing;
    size_t n_stem;
    csm_status st = csm_listing_read(directory, &listing, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; i < listing.n && st == CSM_OK && *name == NULL; i++)
        if (csm_is_shard(listing.names[i], &n_stem, NULL) && n_stem == sizeof stem - 1 &&
            strncmp(listing.names[i], stem, n_stem) == 0)
            st = keep_name(directory, listing.names[i], name, err);
    csm_listing_free(&listing);
    return st;
}

/* The file beside the configuration, to be freed. */
static csm_status find_file(const char *directory, bool is_peft, char **name, csm_error *err)
{
    static const char *const peft[] = {"adapter_model.safetensors"};
    static const char *const mlx[] = {"adapters.safetensors", "adapter.safetensors"};
    *name = NULL;
    for (size_t i = 0; i < (is_peft ? 1u : 2u); i++) {
        const char *candidate = is_peft ? peft[i] : mlx[i];
        if (csm_path_has(directory, candidate))
            return keep_name(directory, candidate, name, err);
    }
    csm_status st = is_peft ? find_shard(directory, name, err) : CSM_OK;
    if (st != CSM_OK || *name != NULL)
        return st;
    if (csm_path_has(directory, "adapter_model.bin"))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s/adapter_model.bin: a PyTorch pickle (it can run code when read), "
                        "expected adapter_model.safetensors: save the adapter again with "
                        "safe_serialization=True",
                        directory);
    return csm_fail(err, CSM_BAD_FILE, "%s: adapter_config.json without its tensors: expected %s",
                    directory, is_peft ? peft[0] : mlx[0]);
}

/* What no role took. */
static csm_status refuse_rest(const struct csm_adapter_reader *reader)
{
    for (size_t i = 0; i < reader->set->n; i++) {
        const struct csm_set_tensor *t = &reader->set->tensors[i];
        if (!t->is_bound)
            return csm_fail(reader->err, CSM_BAD_FORMAT,
                            "%s: %s: nothing of this model has a place for it (%s)",
                            reader->directory, t->tensor.name, t->file);
    }
    return CSM_OK;
}

/* The first directory in `directory` that holds an adapter, to be freed; NULL: none. PEFT saves
 * adapters with names there, each in a directory of its own, checkpoints of a training likewise. */
static char *adapter_within(const char *directory)
{
    struct csm_listing listing;
    char *found = NULL;
    if (csm_listing_read(directory, &listing, NULL) != CSM_OK)
        return NULL;
    for (size_t i = 0; i < listing.n && found == NULL; i++) {
        char *path = listing.names[i][0] != '.' ? csm_path_join(directory, listing.names[i]) : NULL;
        if (path != NULL && csm_adapter_is_there(path))
            found = path;
        else
            free(path);
    }
    csm_listing_free(&listing);
    return found;
}

static csm_status refuse_absent(const char *directory, csm_error *err)
{
    const bool is_file = access(directory, F_OK) == 0 && !csm_path_has(directory, ".");
    char *within = adapter_within(directory);
    const csm_status status =
        within != NULL
            ? csm_fail(err, CSM_BAD_FILE, "%s: no adapter, expected the directory of one: %s is one",
                       directory, within)
            : csm_fail(err, CSM_BAD_FILE,
                       "%s: %s: expected %sadapter_config.json and its safetensors", directory,
                       is_file ? "is a file" : "no adapter", is_file ? "the directory of an " : "");
    free(within);
    return status;
}

static csm_status read_adapter(struct csm_adapter_reader *reader)
{
    csm_error *err = reader->err;
    const char *directory = reader->directory;
    if (!csm_adapter_is_there(directory))
        return refuse_absent(directory, err);
    char *path = csm_path_join(directory, "adapter_config.json");
    csm_status st = path == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory)
                                 : csm_json_load(path, &reader->config, err);
    free(path);
    if (st != CSM_OK)
        return st;
    const bool is_peft = json_object_get(reader->config, "peft_type") != NULL;
    const bool is_mlx = json_object_get(reader->config, "lora_parameters") != NULL ||
                        json_object_get(reader->config, "fine_tune_type") != NULL;
    if (!is_peft && !is_mlx)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s/adapter_config.json: expected peft_type (PEFT) or lora_parameters "
                        "(csm-mlx, mlx-lm)",
                        directory);
    char *name;
    st = find_file(directory, is_peft, &name, err);
    if (st == CSM_OK)
        st = csm_tensor_files_open(&(struct csm_folder){.path = directory}, name, &reader->set, err);
    free(name);
    if (st == CSM_OK)
        st = csm_dequantize(&reader->set, NULL, NULL, err);
    if (st != CSM_OK) {
        csm_tensor_set_free(reader->set);
        return st;
    }
    struct csm_adapters *adapters = reader->adapters;
    struct csm_tensor_set **grown =
        realloc(adapters->sets, (adapters->n_sets + 1) * sizeof(struct csm_tensor_set *));
    if (grown == NULL) {
        csm_tensor_set_free(reader->set);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    }
    adapters->sets = grown;
    adapters->sets[adapters->n_sets++] = reader->set;
    if (reader->set->n == 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s/%s: no tensor, expected an adapter's", directory,
                        reader->set->name);
    st = is_peft ? csm_adapter_read_peft(reader) : csm_adapter_read_mlx(reader);
    return st == CSM_OK ? refuse_rest(reader) : st;
}

csm_status csm_adapters_add(struct csm_adapters *adapters, const csm_checkpoint *checkpoint,
                            const char *directory, double scale, csm_error *err)
{
    struct csm_adapter_reader reader = {.checkpoint = checkpoint,
                                        .adapters = adapters,
                                        .directory = directory,
                                        .scale = scale,
                                        .err = err};
    csm_status st = read_adapter(&reader);
    json_decref(reader.config);
    return st;
}

void csm_adapters_free(struct csm_adapters *adapters)
{
    for (size_t i = 0; i < adapters->n; i++) {
        struct csm_patch *p = &adapters->patches[i];
        for (size_t d = 0; d < p->n; d++) {
            free(p->deltas[d].delta.left);
            free(p->deltas[d].delta.right);
            free(p->deltas[d].delta.magnitude);
        }
        free(p->deltas);
        free(p->own_rows);
        csm_merger_free(p->merger);
        if (p->part != CSM_DEPTH || p->role != CSM_ROLE_HEAD)
            free((void *)p->merged.data);
    }
    free(adapters->heads);
    for (size_t i = 0; i < adapters->n_sets; i++)
        csm_tensor_set_free(adapters->sets[i]);
    free(adapters->sets);
    free(adapters->patches);
    *adapters = (struct csm_adapters){0};
}
