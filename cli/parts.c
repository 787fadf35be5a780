/* SPDX-License-Identifier: Apache-2.0 */
#include "parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "complain.h"

enum { PATH_BYTES = 4096 };

static void part_path(char path[PATH_BYTES], const char *output, size_t index)
{
    snprintf(path, PATH_BYTES, "%s.parts/%05zu.safetensors", output, index);
}

static bool has(const csm_tensors *file, const char *key, const char *value)
{
    const char *found = csm_tensors_metadata(file, key);
    return found != NULL && strcmp(found, value) == 0;
}

bool part_open(const struct part_key *key, size_t n_codebooks, struct part *part)
{
    char path[PATH_BYTES], speaker[16], seed[24];
    part_path(path, key->output, key->index);
    snprintf(speaker, sizeof speaker, "%d", key->speaker);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)key->seed);
    csm_tensors *file;
    csm_error unread; /* a part that cannot be read is one that is not there */
    if (csm_tensors_open(path, &file, &unread) != CSM_OK)
        return false;
    const csm_tensor *codes = csm_tensors_find(file, "codes");
    const csm_tensor *samples = csm_tensors_find(file, "samples");
    bool fits = codes != NULL && codes->dtype == CSM_I32 && codes->rank == 2 &&
                codes->shape[1] == n_codebooks && samples != NULL && samples->dtype == CSM_F32 &&
                samples->rank == 1 && has(file, "text", key->text) &&
                has(file, "model", key->digest) && has(file, "speaker", speaker) &&
                has(file, "seed", seed);
    if (!fits) {
        csm_tensors_close(file);
        return false;
    }
    *part = (struct part){file, codes->data, codes->shape[0], samples->data, samples->shape[0]};
    return true;
}

void part_close(struct part *part)
{
    csm_tensors_close(part->file);
    *part = (struct part){0};
}

csm_status part_save(const struct part_key *key, const csm_result *r, csm_error *err)
{
    char path[PATH_BYTES], speaker[16], seed[24];
    snprintf(path, sizeof path, "%s.parts", key->output);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return complain(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    part_path(path, key->output, key->index);
    snprintf(speaker, sizeof speaker, "%d", key->speaker);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)key->seed);
    const csm_tensor tensors[] = {
        {"codes", CSM_I32, 2, {r->n_frames, r->n_codebooks}, r->codes,
         r->n_frames * r->n_codebooks * sizeof *r->codes},
        {"samples", CSM_F32, 1, {r->n_samples}, r->samples, r->n_samples * sizeof *r->samples}};
    const char *const metadata[] = {"text",    key->text, "model", key->digest,
                                    "speaker", speaker,   "seed",  seed};
    return csm_tensors_write(path, tensors, 2, metadata, 4, err);
}

void parts_remove(const char *output, size_t n)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < n; i++) {
        part_path(path, output, i);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s.parts", output);
    rmdir(path);
}
