/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_keys.h"

#include <stdlib.h>
#include <string.h>

void synth_keys_tell(struct synth_keys *k, const struct synth_manifest *m,
                     const struct synth_item *item)
{
    struct synth_key place = {0};
    for (const char *key; (key = synth_unused_key(item, &place)) != NULL;) {
        size_t i = 0;
        while (i < k->n && strcmp(k->keys[i], key) != 0)
            i++;
        if (i < k->n || i == SYNTH_SHOWN_KEYS)
            continue;
        char *copy = malloc(strlen(key) + 1);
        if (copy == NULL)
            return;
        k->keys[k->n++] = strcpy(copy, key);
        fprintf(stderr, "csm: %s: line %llu: nothing is done with \"%s\"\n", m->path,
                (unsigned long long)m->number, key);
    }
}

void synth_keys_free(struct synth_keys *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->keys[i]);
}
