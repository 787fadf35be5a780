/* SPDX-License-Identifier: Apache-2.0 */
#include "remark_list.h"

#include <string.h>

const csm_remark *remark_list_find(const struct remark_list *list, const char *code)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].code, code) == 0)
            return &list->items[i];
    return NULL;
}

void remark_list_add(struct remark_list *list, const csm_remark *remark)
{
    if (remark_list_find(list, remark->code) == NULL && list->n < MAX_REMARKS)
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
