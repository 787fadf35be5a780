/* SPDX-License-Identifier: Apache-2.0 */
#include "remark_list.h"

#include <string.h>

void remark_list_add(struct remark_list *list, const csm_remark *remark)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].code, remark->code) == 0)
            return;
    if (list->n < MAX_REMARKS)
        list->items[list->n++] = *remark;
}

json_t *remark_list_json(const struct remark_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, json_pack("{s:s, s:s}", "code", list->items[i].code,
                                               "message", list->items[i].text));
    return array;
}

void remark_list_codes(const struct remark_list *list, char codes[REMARK_CODES])
{
    codes[0] = '\0';
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            strcat(codes, ", ");
        strcat(codes, list->items[i].code);
    }
}
