/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_config.h - what the keys of GGUF files say, as a config.json in transformers' words.
 * Sizes of Mimi's convolutions follow from its tensors. */
#ifndef CSM_CHECKPOINT_GGUF_CONFIG_H
#define CSM_CHECKPOINT_GGUF_CONFIG_H

#include <jansson.h>

#include "files/gguf.h"

/* CrispASR's keys (csm.*). What its converter leaves out is csm-1b's: the rescaling of both
 * rotations, the depth decoder's theta and eps. csm.mimi.frame_rate is not read: it is 12.5
 * in every file, and what it should be follows from the tensors.
 *
 *   out  receives an object to be released with json_decref
 * Returns CSM_OK; CSM_BAD_FORMAT (a key that is no integer or number); CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_gguf_config_crispasr(const csm_gguf *file, const char *path,
                                                 json_t **out, csm_error *err);

/* codec.cpp's: of the codec's file (codec.*, codec.lm.*), and of the backbone's (llama.*),
 * which may be NULL: then the codec alone. Factors of the rotations, where the files have
 * them, must be those of csm-1b's rescaling or all 1; without them there is none. */
CSM_MUST_USE csm_status csm_gguf_config_pair(const csm_gguf *codec, const char *codec_path,
                                             const csm_gguf *backbone, const char *backbone_path,
                                             json_t **out, csm_error *err);

#endif
