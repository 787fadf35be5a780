/* SPDX-License-Identifier: Apache-2.0
 *
 * corpus.h - a corpus of csm synth looked at as a whole: csm analyze --corpus. */
#ifndef CSM_CLI_CORPUS_H
#define CSM_CLI_CORPUS_H

#include <stdbool.h>

#include <jansson.h>

#include <csm/status.h>

/* Read every manifest*.jsonl of a directory and every sound they name, one at a time: some 45
 * bytes of memory an item. *json receives the report, to be freed with json_decref; docs/CORPORA.md
 * has its keys. *is_sound: every file is there, can be read, and has the size that its line tells.
 *
 * CSM_BAD_FILE: no directory, no manifest; CSM_BAD_FORMAT: a line that csm synth did not write;
 * CSM_NO_MEMORY. */
csm_status corpus_read(const char *directory, json_t **json, bool *is_sound, csm_error *err);

/* The report on standard output, as text or as one JSON object; as a page of its own, written
 * beside and renamed. CSM_BAD_FILE. */
csm_status corpus_print(const json_t *json, csm_error *err);
csm_status corpus_print_json(const json_t *json, csm_error *err);
csm_status corpus_page(const json_t *json, const char *path, csm_error *err);

#endif
