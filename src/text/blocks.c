/* SPDX-License-Identifier: Apache-2.0 */
#include "text/markup.h"

#include <stdlib.h>

void csm_blocks_free(struct csm_blocks *blocks)
{
    for (size_t i = 0; i < blocks->n; i++)
        free(blocks->items[i].text);
    free(blocks->items);
    *blocks = (struct csm_blocks){0};
}
