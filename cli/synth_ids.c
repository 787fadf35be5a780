/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_ids.h"

#include <stdlib.h>

#include <xxhash.h>

#include "synth_item.h"

static XXH128_hash_t hash_of(const char *name)
{
    char folded[SYNTH_NAME_BYTES];
    size_t n = 0;
    for (; name[n] != '\0' && n < sizeof folded; n++)
        folded[n] = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] - 'A' + 'a') : name[n];
    return XXH3_128bits(folded, n);
}

/* Its slot, or the free one where it belongs. */
static uint32_t *slot_of(const struct synth_ids *ids, uint64_t high, uint64_t low)
{
    for (size_t at = low & (ids->n_slots - 1);; at = (at + 1) & (ids->n_slots - 1)) {
        const uint32_t index = ids->slots[at];
        if (index == 0 ||
            (ids->items[index - 1].high == high && ids->items[index - 1].low == low))
            return &ids->slots[at];
    }
}

/* Room for one more, half of the slots staying free. */
static csm_status grow(struct synth_ids *ids, csm_error *err)
{
    if (ids->n < ids->room)
        return CSM_OK;
    if (ids->n >= (size_t)1 << 31)
        return csm_fail(err, CSM_BAD_FORMAT, "more than 2^31 items");
    const size_t room = ids->room > 0 ? 2 * ids->room : 1024;
    struct synth_id *items = realloc(ids->items, room * sizeof *items);
    if (items != NULL)
        ids->items = items;
    uint32_t *slots = calloc(2 * room, sizeof *slots);
    if (items == NULL || slots == NULL) {
        free(slots);
        return csm_fail(err, CSM_NO_MEMORY, "%zu items: out of memory", ids->n);
    }
    free(ids->slots);
    ids->slots = slots;
    ids->n_slots = 2 * room;
    ids->room = room;
    for (size_t i = 0; i < ids->n; i++)
        *slot_of(ids, items[i].high, items[i].low) = (uint32_t)(i + 1);
    return CSM_OK;
}

csm_status synth_ids_add(struct synth_ids *ids, const char *name, uint64_t line, uint64_t *first,
                         csm_error *err)
{
    csm_status st = grow(ids, err);
    if (st != CSM_OK)
        return st;
    const XXH128_hash_t hash = hash_of(name);
    uint32_t *slot = slot_of(ids, hash.high64, hash.low64);
    *first = *slot != 0 ? ids->items[*slot - 1].line : 0;
    if (*slot != 0)
        return CSM_OK;
    ids->items[ids->n++] = (struct synth_id){hash.high64, hash.low64, line, 0};
    *slot = (uint32_t)ids->n;
    return CSM_OK;
}

struct synth_id *synth_ids_find(const struct synth_ids *ids, const char *name)
{
    if (ids->n == 0)
        return NULL;
    const XXH128_hash_t hash = hash_of(name);
    const uint32_t index = *slot_of(ids, hash.high64, hash.low64);
    return index != 0 ? &ids->items[index - 1] : NULL;
}

void synth_ids_free(struct synth_ids *ids)
{
    free(ids->items);
    free(ids->slots);
}
