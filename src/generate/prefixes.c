/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/prefixes.h"

#include <stdlib.h>

const csm_lane *csm_prefixes_find(struct csm_prefixes *p, const struct csm_prompt *prompt,
                                  size_t *n_shared)
{
    struct csm_prefix *best = NULL;
    *n_shared = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t n = csm_prompt_shared(&p->all[i].prompt, prompt, p->n_codebooks);
        if (n > *n_shared) {
            *n_shared = n;
            best = &p->all[i];
        }
    }
    if (best == NULL)
        return NULL;
    best->used = ++p->clock;
    return best->lane;
}

static void give_up(const struct csm_prefixes *p, struct csm_prompt *prompt, csm_lane *lane)
{
    p->engine->ops->lane_close(p->engine->ctx, lane);
    csm_prompt_free(prompt);
}

static void drop(struct csm_prefixes *p, size_t i)
{
    give_up(p, &p->all[i].prompt, p->all[i].lane);
    p->all[i] = p->all[--p->n];
}

size_t csm_prefixes_bytes(const struct csm_prefixes *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->engine->ops->lane_bytes(p->engine->ctx, p->all[i].lane);
    return n;
}

static size_t least_used(const struct csm_prefixes *p)
{
    size_t least = 0;
    for (size_t i = 1; i < p->n; i++)
        if (p->all[i].used < p->all[least].used)
            least = i;
    return least;
}

void csm_prefixes_keep(struct csm_prefixes *p, struct csm_prompt *prompt, csm_lane *lane)
{
    /* One that the new one begins with is not needed any more; nor is a new one with which
     * another begins. */
    for (size_t i = p->n; i-- > 0;) {
        size_t n = csm_prompt_shared(&p->all[i].prompt, prompt, p->n_codebooks);
        if (n == prompt->n) {
            p->all[i].used = ++p->clock;
            give_up(p, prompt, lane);
            return;
        }
        if (n == p->all[i].prompt.n)
            drop(p, i);
    }
    if (p->n == p->n_rooms) {
        size_t n_rooms = p->n_rooms == 0 ? 16 : 2 * p->n_rooms;
        struct csm_prefix *all = realloc(p->all, n_rooms * sizeof *all);
        if (all == NULL) {
            give_up(p, prompt, lane);
            return;
        }
        p->all = all;
        p->n_rooms = n_rooms;
    }
    p->all[p->n++] = (struct csm_prefix){*prompt, lane, ++p->clock};
    *prompt = (struct csm_prompt){0};
    while (p->n > 0 && csm_prefixes_bytes(p) > p->most_bytes)
        drop(p, least_used(p));
}

void csm_prefixes_close(struct csm_prefixes *p)
{
    while (p->n > 0)
        drop(p, p->n - 1);
    free(p->all);
    p->all = NULL;
}
