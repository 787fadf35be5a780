/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <stdio.h>

#ifdef CSM_HAS_XXHASH

static XXH3_state_t *of(struct csm_digest *digest)
{
    return (XXH3_state_t *)(void *)digest;
}

struct csm_digest *csm_digest_open(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        XXH3_128bits_reset(state);
    return (struct csm_digest *)(void *)state;
}

void csm_digest_add(struct csm_digest *digest, const void *bytes, size_t n)
{
    if (digest != NULL)
        XXH3_128bits_update(of(digest), bytes, n);
}

void csm_digest_close(struct csm_digest *digest, char text[CSM_DIGEST_SIZE])
{
    text[0] = '\0';
    if (digest == NULL)
        return;
    const XXH128_hash_t hash = XXH3_128bits_digest(of(digest));
    snprintf(text, CSM_DIGEST_SIZE, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    XXH3_freeState(of(digest));
}

#else

struct csm_digest *csm_digest_open(void)
{
    return NULL;
}

void csm_digest_add(struct csm_digest *digest, const void *bytes, size_t n)
{
    (void)digest;
    (void)bytes;
    (void)n;
}

void csm_digest_close(struct csm_digest *digest, char text[CSM_DIGEST_SIZE])
{
    (void)digest;
    text[0] = '\0';
}

#endif
