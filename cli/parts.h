/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h - utterances of a long job that are done, kept beside its output
 * (OUTPUT.parts/NNNN.safetensors) so that it can go on after an interruption. */
#ifndef CSM_CLI_PARTS_H
#define CSM_CLI_PARTS_H

#include <stdbool.h>

#include <csm/csm.h>

/* Which part, and of what it is made: one that was made of something else is drawn anew. */
struct part_key {
    const char *output;
    size_t index;
    char made_of[33]; /* a digest of all that it depends on, from part_digest */
};

/* A digest as text, moved on by more bytes: begin with an empty one. */
void part_digest(char digest[33], const void *bytes, size_t n_bytes);

struct part {
    csm_tensors *file;
    const int32_t *codes;
    size_t n_frames;
    const float *samples;
    size_t n_samples;
};

/* The part, if it is there and whole; to be closed with part_close. */
bool part_open(const struct part_key *key, size_t n_codebooks, struct part *part);
void part_close(struct part *part);

/* Keep an utterance. Errors as csm_tensors_write. */
csm_status part_save(const struct part_key *key, const csm_result *result, csm_error *err);

/* Remove all parts of the output, those of another text too. */
void parts_remove(const char *output);

#endif
