/* SPDX-License-Identifier: Apache-2.0
 *
 * voice_store.h - the voices that requests name: speakers of the model, recordings that
 * clients have added, and other names for them.
 *
 * A recording is one file of the voices' directory, NAME.safetensors (voice_file.h), written
 * beside and renamed, so that whenever the server is killed the directory holds the old set
 * or the new. What others add, replace or remove there is seen by the next call. One thread. */
#ifndef CSM_SERVER_VOICE_STORE_H
#define CSM_SERVER_VOICE_STORE_H

#include "voice_file.h"

struct voice_store;

/* Reads all voices. `tell` is called with a line for each recording that cannot be read, and
 * is not there then. aliases: "NAME=VOICE" [n_aliases], added to OpenAI's names, which
 * stand for the model's speakers in turn. Errors as csm_voices_list; CSM_BAD_ARG for an alias that is
 * none, or of a voice that is none. */
csm_status voice_store_open(csm_model *model, const char *const *aliases, size_t n_aliases,
                            void (*tell)(void *user, const char *line), void *user,
                            struct voice_store **out, csm_error *err);
void voice_store_close(struct voice_store *store); /* takes NULL */

size_t voice_store_count(struct voice_store *store);
const struct voice *voice_store_at(const struct voice_store *store, size_t i);

/* The i-th of the other names and what it stands for; false: there are no more. */
bool voice_store_alias(const struct voice_store *store, size_t i, const char **alias,
                       const char **name);

/* By its name, or another name for it, or a speaker's number; NULL: there is none. A
 * number gives a voice that lives until the next call. */
const struct voice *voice_store_find(struct voice_store *store, const char *name);

/* Add or replace a recording. turn: text, speaker, codes; everything is copied.
 * Returns CSM_OK; CSM_BAD_ARG (the name, a speaker of the model); CSM_BAD_FILE;
 * CSM_NO_MEMORY. After a failure all is as it was. */
csm_status voice_store_add(struct voice_store *store, const char *name, const csm_turn *turn,
                           const struct voice_papers *papers, csm_error *err);

/* CSM_BAD_ARG when there is no recording of that name; CSM_BAD_FILE. */
csm_status voice_store_remove(struct voice_store *store, const char *name, csm_error *err);

#endif
