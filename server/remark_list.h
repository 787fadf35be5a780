/* SPDX-License-Identifier: Apache-2.0
 *
 * remark_list.h - what a client is told that was asked and does not come out as asked
 * (csm/remarks.h): each code once, the first of it. */
#ifndef CSM_SERVER_REMARK_LIST_H
#define CSM_SERVER_REMARK_LIST_H

#include <jansson.h>

#include <csm/remarks.h>

enum { MAX_REMARKS = 15 }; /* as many codes as there are */

struct remark_list {
    size_t n;
    csm_remark items[MAX_REMARKS];
};

void remark_list_add(struct remark_list *list, const csm_remark *remark);

/* The remark of that code, or NULL. */
const csm_remark *remark_list_find(const struct remark_list *list, const char *code);

/* [{"code", "message"}, ...]; NULL: out of memory. */
json_t *remark_list_json(const struct remark_list *list);

/* The codes, "cut, other-speaker", as a header has them. */
enum { REMARK_CODES = MAX_REMARKS * 34 };
void remark_list_codes(const struct remark_list *list, char codes[REMARK_CODES]);

#endif
