/* SPDX-License-Identifier: Apache-2.0 */
#include "parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

enum { PATH_BYTES = 4096 };

static void part_path(char path[PATH_BYTES], const char *output, size_t index)
{
    snprintf(path, PATH_BYTES, "%s.parts/%05zu.safetensors", output, index);
}

void part_digest(char digest[33], const void *bytes, size_t n_bytes)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, n_bytes);
    uint64_t both[4] = {hash.high64, hash.low64};
    hash = XXH3_128bits(digest, strlen(digest));
    both[2] = hash.high64;
    both[3] = hash.low64;
    hash = XXH3_128bits(both, sizeof both);
    snprintf(digest, 33, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

bool part_open(const struct part_key *key, size_t n_codebooks, struct part *part)
{
    char path[PATH_BYTES];
    part_path(path, key->output, key->index);
    csm_tensors *file;
    csm_error unread; /* a part that cannot be read is one that is not there */
    if (csm_tensors_open(path, &file, &unread) != CSM_OK)
        return false;
    const csm_tensor *codes = csm_tensors_find(file, "codes");
    const csm_tensor *samples = csm_tensors_find(file, "samples");
    const char *made_of = csm_tensors_metadata(file, "made_of");
    bool fits = codes != NULL && codes->dtype == CSM_DTYPE_I32 && codes->rank == 2 &&
                codes->shape[1] == n_codebooks && samples != NULL && samples->dtype == CSM_DTYPE_F32 &&
                samples->rank == 1 && made_of != NULL && strcmp(made_of, key->made_of) == 0;
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
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.parts", key->output);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    part_path(path, key->output, key->index);
    const csm_tensor tensors[] = {
        {"codes", CSM_DTYPE_I32, 2, {r->n_frames, r->n_codebooks}, r->codes,
         r->n_frames * r->n_codebooks * sizeof *r->codes},
        {"samples", CSM_DTYPE_F32, 1, {r->n_samples}, r->samples, r->n_samples * sizeof *r->samples}};
    const char *const metadata[] = {"made_of", key->made_of};
    return csm_tensors_write(path, tensors, 2, metadata, 1, err);
}

/* A part, or one that a killed run left half written beside it. */
static bool is_part(const char *name)
{
    static const char ending[] = ".safetensors", beside[] = ".part";
    const size_t n_digits = strspn(name, "0123456789"), n = strlen(name);
    const char *rest = name + n_digits;
    if (n_digits < 5 || strncmp(rest, ending, sizeof ending - 1) != 0)
        return false;
    return rest[sizeof ending - 1] == '\0' || strcmp(name + n - (sizeof beside - 1), beside) == 0;
}

void parts_remove(const char *output)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.parts", output);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (is_part(entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}
