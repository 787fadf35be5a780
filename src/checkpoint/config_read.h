/* SPDX-License-Identifier: Apache-2.0
 *
 * config_read.h - struct csm_config out of a directory's JSON files, and out of
 * the tensors' shapes where these say nothing. */
#ifndef CSM_CHECKPOINT_CONFIG_READ_H
#define CSM_CHECKPOINT_CONFIG_READ_H

#include <jansson.h>

#include "files/folder.h"
#include "checkpoint/config.h"
#include "checkpoint/layout.h"

/* Read the configuration of the language model and the codec that lie in those
 * places (layout NONE: not there, its numbers stay zero, but for the codec's 24000 Hz and
 * 1920 samples a frame).
 *
 *   has_file  the directory has a config.json
 *   root      config.json, or an empty object; becomes config.merged.json where that
 *             says more
 *
 * Returns CSM_OK; CSM_BAD_FILE, CSM_BAD_FORMAT (out of range, or something that
 * no CSM has and this engine does not do: biases, other activations). */
CSM_MUST_USE csm_status csm_config_read(const struct csm_folder *folder, const struct csm_place *language,
                                        const struct csm_place *codec, bool has_file,
                                        json_t **root, struct csm_config *config, csm_error *err);

/* The parts of it, each from a parsed file: what csm_config_read calls, and what
 * the fuzz target tries. Failures stay in the reader. */
struct csm_json_reader;
void csm_config_language(struct csm_json_reader *reader, const json_t *root,
                         const struct csm_place *place, struct csm_config *config);
void csm_config_codec(struct csm_json_reader *reader, const json_t *root, const json_t *kyutai,
                      const struct csm_place *place, struct csm_codec_config *config);
/* `root` NULL: there is no such file. */
void csm_config_generation(struct csm_json_reader *reader, const json_t *root, size_t n_codebooks,
                           struct csm_generation_config *config);

#endif
