/* SPDX-License-Identifier: Apache-2.0
 *
 * ids.h - a growing list of token ids. */
#ifndef CSM_TEXT_IDS_H
#define CSM_TEXT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Zeroed: empty. data is freed with free(). */
struct csm_ids {
    int32_t *data;
    size_t n, capacity;
};

/* false: out of memory; the list is as it was. */
static inline bool csm_ids_push(struct csm_ids *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        size_t capacity = 2 * ids->capacity + 64;
        int32_t *grown = realloc(ids->data, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        ids->data = grown;
        ids->capacity = capacity;
    }
    ids->data[ids->n++] = id;
    return true;
}

#endif
