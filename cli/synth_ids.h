/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_ids.h - the items of a manifest in its order, without their texts: 32 bytes each, so
 * that millions fit; found by the name of their files, whose case does not count. */
#ifndef CSM_CLI_SYNTH_IDS_H
#define CSM_CLI_SYNTH_IDS_H

#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

struct synth_id {
    uint64_t high, low; /* XXH3's 128 bits of the name in small letters */
    uint64_t line;      /* in the manifest, from 1 */
    uint64_t told;      /* 1 + where in the journal its line begins; 0: it is not done */
};

struct synth_ids {
    struct synth_id *items;
    size_t n, room;
    uint32_t *slots; /* [n_slots], a power of 2: 1 + the item's index; 0: free */
    size_t n_slots;
};

/* Add an item; *first receives the line that has the name already, else 0 and it is added.
 * CSM_NO_MEMORY; CSM_BAD_FORMAT: more than 2^31. */
csm_status synth_ids_add(struct synth_ids *ids, const char *name, uint64_t line, uint64_t *first,
                         csm_error *err);

/* The item of that name, or NULL; valid until one is added. */
struct synth_id *synth_ids_find(const struct synth_ids *ids, const char *name);

void synth_ids_free(struct synth_ids *ids);

#endif
