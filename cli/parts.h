/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h - utterances of a long job that are done, kept beside its output
 * (OUTPUT.parts/NNNN.safetensors) so that it can go on after an interruption. */
#ifndef CSM_CLI_PARTS_H
#define CSM_CLI_PARTS_H

#include <stdbool.h>

#include <csm/csm.h>

/* What an utterance depends on: a part that differs in any of it is drawn anew. */
struct part_key {
    const char *output;
    size_t index;
    const char *text, *digest; /* of the model */
    int speaker;
    uint64_t seed;
};

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

/* Remove all parts of a job of n utterances. */
void parts_remove(const char *output, size_t n);

#endif
