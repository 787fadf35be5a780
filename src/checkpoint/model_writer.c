/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/model_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/output.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/path.h"

csm_status csm_write_tensors(const char *directory, const char *name, const csm_tensor *tensors,
                             size_t n, const char *format, csm_error *err)
{
    const char *const metadata[] = {"format", format};
    char *path = csm_path_join(directory, name);
    if (path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    csm_status st = csm_tensors_write(path, tensors, n, metadata, 1, err);
    free(path);
    return st;
}

static csm_status write_bytes(const char *directory, const char *name, const void *bytes, size_t n,
                              csm_error *err)
{
    char *path = csm_path_join(directory, name);
    csm_output *out = NULL;
    if (path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    csm_status st = csm_output_open(path, &out, err);
    free(path);
    if (st != CSM_OK)
        return st;
    st = csm_output_write(out, bytes, n, err);
    if (st != CSM_OK) {
        csm_output_discard(out);
        return st;
    }
    return csm_output_commit(out, err);
}

csm_status csm_write_json(const char *directory, const char *name, const json_t *root,
                          csm_error *err)
{
    char *text = json_dumps(root, JSON_INDENT(2));
    if (text == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    csm_status st = write_bytes(directory, name, text, strlen(text), err);
    free(text);
    return st;
}

csm_status csm_copy_if_there(const char *from, const char *to, const char *name, csm_error *err)
{
    if (!csm_path_has(from, name))
        return CSM_OK;
    char *path = csm_path_join(from, name);
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    char *bytes = NULL;
    long n = -1;
    csm_status st = CSM_OK;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && (n = ftell(file)) >= 0) {
        rewind(file);
        bytes = malloc((size_t)n + 1);
    }
    if (bytes == NULL || fread(bytes, 1, (size_t)n, file) != (size_t)n)
        st = csm_fail(err, CSM_BAD_FILE, "%s/%s: cannot be read", from, name);
    else
        st = write_bytes(to, name, bytes, (size_t)n, err);
    if (file != NULL)
        fclose(file);
    free(bytes);
    free(path);
    return st;
}

csm_status csm_copy_tokenizer(const csm_checkpoint *checkpoint, const char *to, csm_error *err)
{
    struct csm_mapped file;
    const char *path;
    if (csm_checkpoint_tokenizer(checkpoint, NULL, &path, NULL) != CSM_OK)
        return CSM_OK;
    csm_status st = csm_checkpoint_tokenizer(checkpoint, &file, &path, err);
    if (st != CSM_OK)
        return st;
    st = write_bytes(to, "tokenizer.json", (const char *)file.data, file.size, err);
    csm_mapped_close(&file);
    return st;
}

void csm_tensor_list_free(struct csm_tensor_list *list)
{
    for (size_t i = 0; list->copies != NULL && i < list->n; i++)
        free(list->copies[i]);
    free(list->copies);
    free(list->tensors);
    *list = (struct csm_tensor_list){0};
}

/* The tensor of the list that a patch changes: that of its stored weight, but for the
 * second of two tables that an adapter untied. */
static csm_tensor *target_of(const csm_checkpoint *checkpoint, const struct csm_patch *patch,
                             const struct csm_set_tensor *stored, size_t n_prefix,
                             const struct csm_tensor_list *list)
{
    const struct csm_place *place = csm_part_is_codec(patch->part) ? &checkpoint->codec
                                                                   : &checkpoint->language;
    char own[CSM_NAME_MAX];
    const char *name = stored->name;
    if (patch->role == CSM_ROLE_AUDIO_TABLE && checkpoint->has_one_table &&
        csm_layout_name(place, patch->part, patch->role, 0, &checkpoint->config.codec, own))
        name = own;
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->tensors[i].name, name + n_prefix) == 0)
            return &list->tensors[i];
    return NULL;
}

/* Put a merged weight where its stored one lies in the tensor. */
static csm_status apply(const csm_checkpoint *checkpoint, const struct csm_patch *patch,
                        const struct csm_tensor_set *set, const char *prefix,
                        struct csm_tensor_list *list, csm_error *err)
{
    struct csm_weight_source source;
    struct csm_set_tensor *used[CSM_MAX_USED];
    csm_status st = csm_find_stored(checkpoint, patch->part, patch->role, patch->index, &source,
                                    used, err);
    if (st != CSM_OK || used[0] < set->tensors || used[0] >= set->tensors + set->n ||
        strncmp(used[0]->name, prefix, strlen(prefix)) != 0)
        return st; /* of another set, or of another part of it */
    csm_tensor *t = target_of(checkpoint, patch, used[0], strlen(prefix), list);
    if (source.format != CSM_WEIGHT_FLOAT || t == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: an adapter over quantized weights cannot be written: expected the "
                        "model in 16 bits",
                        used[0]->tensor.name);
    const size_t i = (size_t)(t - list->tensors);
    if (list->copies[i] == NULL) {
        list->copies[i] = malloc(t->n_bytes + 1);
        if (list->copies[i] == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", t->name);
        memcpy(list->copies[i], t->data, t->n_bytes);
        t->data = list->copies[i];
    }
    const size_t at =
        (size_t)((const char *)source.tensor.data - (const char *)used[0]->tensor.data);
    memcpy((char *)list->copies[i] + at, patch->merged.data, patch->merged.n_bytes);
    return CSM_OK;
}

/* The name that the second table has in HF's layout, for as long as the list. */
static const char *second_table(const csm_checkpoint *checkpoint, const struct csm_set_tensor *t)
{
    static const char *const names[] = {"backbone_model.embed_tokens.embed_audio_tokens.weight",
                                        "depth_decoder.model.embed_tokens.weight"};
    if (!checkpoint->has_one_table || checkpoint->language.layout != CSM_LAYOUT_HF)
        return NULL;
    for (size_t i = 0; i < 2; i++)
        if (strcmp(t->name, names[i]) == 0 &&
            csm_tensor_set_find(checkpoint->language.set, names[1 - i]) == NULL)
            return names[1 - i];
    return NULL;
}

csm_status csm_adapted_tensors(const csm_checkpoint *checkpoint, const struct csm_tensor_set *set,
                               const char *prefix, struct csm_tensor_list *list, csm_error *err)
{
    const size_t n_prefix = strlen(prefix);
    *list = (struct csm_tensor_list){.tensors = calloc(set->n + 2, sizeof *list->tensors),
                                     .copies = calloc(set->n + 2, sizeof *list->copies)};
    csm_status st = CSM_OK;
    if (list->tensors == NULL || list->copies == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: a list of %zu tensors", set->name, set->n);
    for (size_t i = 0; st == CSM_OK && i < set->n; i++) {
        const struct csm_set_tensor *t = &set->tensors[i];
        if (strncmp(t->name, prefix, n_prefix) != 0)
            continue;
        list->tensors[list->n] = t->tensor;
        list->tensors[list->n++].name = t->name + n_prefix;
        const char *second = second_table(checkpoint, t);
        if (second != NULL) {
            list->tensors[list->n] = t->tensor;
            list->tensors[list->n++].name = second;
        }
    }
    for (size_t i = 0; st == CSM_OK && i < checkpoint->adapters.n; i++)
        st = apply(checkpoint, &checkpoint->adapters.patches[i], set, prefix, list, err);
    if (st != CSM_OK)
        csm_tensor_list_free(list);
    return st;
}
