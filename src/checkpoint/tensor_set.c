/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/tensor_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/unwrap.h"

csm_status csm_tensor_set_new(const char *name, struct csm_tensor_set **out, csm_error *err)
{
    struct csm_tensor_set *set = calloc(1, sizeof *set);
    if (set != NULL)
        set->name = strdup(name);
    if (set == NULL || set->name == NULL) {
        free(set);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    }
    *out = set;
    return CSM_OK;
}

void csm_tensor_set_free(struct csm_tensor_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = set->n_owned; i-- > 0;)
        set->owned[i].release(set->owned[i].thing);
    free(set->owned);
    free(set->headers);
    free(set->slots);
    free(set->tensors);
    free(set->wrapper);
    free(set->name);
    free(set);
}

csm_status csm_tensor_set_keep(struct csm_tensor_set *set, void *thing,
                               void (*release)(void *thing), csm_error *err)
{
    struct csm_set_owned *grown = realloc(set->owned, (set->n_owned + 1) * sizeof *grown);
    if (grown == NULL) {
        release(thing);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", set->name);
    }
    set->owned = grown;
    set->owned[set->n_owned++] = (struct csm_set_owned){thing, release};
    return CSM_OK;
}

/* The slot of a name, or the free one where it belongs. */
static size_t slot_of(const struct csm_tensor_set *set, const char *name)
{
    size_t slot = (size_t)csm_hash(name, strlen(name)) & (set->n_slots - 1);
    while (set->slots[slot] != 0 &&
           strcmp(set->tensors[set->slots[slot] - 1].name, name) != 0)
        slot = (slot + 1) & (set->n_slots - 1);
    return slot;
}

/* Room for one more tensor; the table stays at most half full. */
static csm_status grow(struct csm_tensor_set *set, csm_error *err)
{
    if (set->n < set->room)
        return CSM_OK;
    const size_t room = set->room == 0 ? 256 : 2 * set->room;
    struct csm_set_tensor *tensors = realloc(set->tensors, room * sizeof *tensors);
    if (tensors != NULL) {
        set->tensors = tensors;
        set->room = room;
    }
    size_t *slots = calloc(2 * room, sizeof *slots);
    if (tensors == NULL || slots == NULL) {
        free(slots);
        return csm_fail(err, CSM_NO_MEMORY, "%s: a list of %zu tensors", set->name, room);
    }
    free(set->slots);
    set->slots = slots;
    set->n_slots = 2 * room;
    for (size_t i = 0; i < set->n; i++)
        set->slots[slot_of(set, set->tensors[i].name)] = i + 1;
    return CSM_OK;
}

csm_status csm_tensor_set_add(struct csm_tensor_set *set, const csm_tensor *tensor,
                              enum csm_weight_format format, const char *file, csm_error *err)
{
    csm_status st = grow(set, err);
    if (st != CSM_OK)
        return st;
    const char *name = tensor->name;
    char *unwrapped = NULL;
    st = csm_unwrap(tensor->name, &unwrapped, &set->wrapper, err);
    if (st == CSM_OK && unwrapped != NULL) {
        name = unwrapped;
        st = csm_tensor_set_keep(set, unwrapped, free, err);
    }
    if (st != CSM_OK)
        return st;
    const size_t slot = slot_of(set, name);
    if (set->slots[slot] != 0) {
        const struct csm_set_tensor *other = &set->tensors[set->slots[slot] - 1];
        return csm_fail(err, CSM_BAD_FORMAT, "%s (%s) and %s (%s): both are %s, expected one",
                        other->tensor.name, other->file, tensor->name, file, name);
    }
    set->slots[slot] = set->n + 1;
    set->tensors[set->n++] = (struct csm_set_tensor){
        .name = name, .file = file, .tensor = *tensor, .format = format};
    return CSM_OK;
}

csm_status csm_tensor_set_add_header(struct csm_tensor_set *set, const void *bytes, size_t n,
                                     csm_error *err)
{
    struct csm_set_header *grown = realloc(set->headers, (set->n_headers + 1) * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", set->name);
    set->headers = grown;
    set->headers[set->n_headers++] = (struct csm_set_header){bytes, n};
    return CSM_OK;
}

struct csm_set_tensor *csm_tensor_set_find(const struct csm_tensor_set *set, const char *name)
{
    if (set->n == 0)
        return NULL;
    const size_t at = set->slots[slot_of(set, name)];
    return at == 0 ? NULL : &set->tensors[at - 1];
}
