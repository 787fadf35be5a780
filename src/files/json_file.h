/* SPDX-License-Identifier: Apache-2.0
 *
 * json_file.h - a JSON file as jansson's tree, and reading numbers out of it
 * with messages that name file, key and what was expected. */
#ifndef CSM_FILES_JSON_FILE_H
#define CSM_FILES_JSON_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <csm/status.h>

/* Read a file that holds one JSON object: valid UTF-8, no key twice, at most
 * 100 MB. `*out` is to be released with json_decref.
 *
 * Returns CSM_OK; CSM_BAD_FILE; CSM_BAD_FORMAT with line and column. */
CSM_MUST_USE csm_status csm_json_load(const char *path, json_t **out, csm_error *err);

/* The same from memory; `path` is for messages. */
CSM_MUST_USE csm_status csm_json_parse(const char *path, const void *bytes, size_t n, json_t **out,
                                       csm_error *err);

/* The same, whole numbers as reals: in tokenizer_config.json stands 10^30. */
CSM_MUST_USE csm_status csm_json_parse_reals(const char *path, const void *bytes, size_t n,
                                             json_t **out, csm_error *err);

/* Reads members of objects. The first failure stays in `status`, with its
 * message in `err`; what is read after it is meaningless, so a caller may read
 * all and look once. */
struct csm_json_reader {
    const char *path; /* for messages */
    csm_status status;
    csm_error *err;
};

/* A member as an integer in [low, high]; `fallback` where the object (which may
 * be NULL) has none or null. */
int64_t csm_json_integer(struct csm_json_reader *reader, const json_t *object, const char *key,
                         int64_t fallback, int64_t low, int64_t high);
/* A finite number in [low, high]. */
double csm_json_number(struct csm_json_reader *reader, const json_t *object, const char *key,
                       double fallback, double low, double high);
bool csm_json_bool(struct csm_json_reader *reader, const json_t *object, const char *key,
                   bool fallback);
/* A string, which lives as long as the object. */
const char *csm_json_text(struct csm_json_reader *reader, const json_t *object, const char *key,
                          const char *fallback);
/* An object, or NULL where there is none or null. */
const json_t *csm_json_object(struct csm_json_reader *reader, const json_t *object,
                              const char *key);

/* Record a failure of the caller's own: "PATH: KEY: WHAT". */
void csm_json_refuse(struct csm_json_reader *reader, const char *key, const char *format, ...)
    CSM_PRINTF(3, 4);

#endif
