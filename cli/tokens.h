/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.h - token files and sound, by the codec alone. */
#ifndef CSM_CLI_TOKENS_H
#define CSM_CLI_TOKENS_H

#include <csm/analysis.h>
#include <csm/audio.h>
#include <csm/csm.h>

#include "written.h"

/* Turn codes round where they lie as [codebooks, frames], as codecs of other programs hand them
 * over: it is told by how many codebooks there should be. What csm wrote lies right. CSM_NO_MEMORY. */
csm_status tokens_order(csm_tokens **tokens, size_t n_codebooks, csm_error *err);

/* How many frames of another program's codes are speech: without those at the end that are all
 * zeros, with which it ends in transformers, or one value in all codebooks that the codec has not,
 * with which batches are filled up; what is left out is said. The first frame is always counted;
 * codes of csm, and of one codebook, whole.
 *   n_entries   values of a code that the codec has sound for
 *   has_end     one frame of zeros, which a model draws, is counted with the speech */
size_t tokens_frames(const csm_tokens *tokens, size_t n_entries, bool has_end);

/* Decode the codes of a file that csm_tokens_open reads (safetensors, .npy, .npz, any integers; "-": standard input). output: a file, "-", or "none" (which
 * decodes and writes nothing). The sound is marked if marking is on. */
csm_status tokens_to_sound(const char *tokens, const char *model_path,
                           const csm_model_options *options, const char *output,
                           const struct written *written, const struct marking *marking,
                           csm_error *err);

/* Encode a sound file of any format ("-": standard input) and write its `codes`. n_codebooks 0: all. */
csm_status tokens_from_sound(const char *sound, const char *model_path,
                             const csm_model_options *options, size_t n_codebooks,
                             const char *tokens, csm_error *err);

#endif
