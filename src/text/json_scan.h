/* SPDX-License-Identifier: Apache-2.0
 *
 * json_scan.h - reading large JSON in one pass, value by value, without a tree.
 *
 * A tokenizer.json holds 128,000 tokens and 280,000 merges: as a tree they take a
 * second to build. Here they are read in place: strings without an escape are
 * views of the file. What is read is checked as strictly as jansson checks. */
#ifndef CSM_TEXT_JSON_SCAN_H
#define CSM_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Valid UTF-8 from `at` to `end`. Each function below skips white space, then
 * takes what it is named for and moves `at` behind it, or returns false and
 * leaves `at` where the text is not that. */
struct csm_json_scan {
    const char *at, *end;
    char *buffer; /* of the last string with escapes; freed with csm_json_scan_end */
    size_t capacity;
};
void csm_json_scan_end(struct csm_json_scan *scan);

/* One of { } [ ] , : */
bool csm_json_scan_mark(struct csm_json_scan *scan, char mark);

/* A string: `*text` is valid until the next one is taken. */
bool csm_json_scan_string(struct csm_json_scan *scan, const char **text, size_t *n);

/* An integer from 0 to 2^31 - 1, without fraction or exponent. */
bool csm_json_scan_integer(struct csm_json_scan *scan, int32_t *value);

/* Any value, over it. At most 100 levels deep. */
bool csm_json_scan_skip(struct csm_json_scan *scan);

#endif
