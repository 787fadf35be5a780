/* SPDX-License-Identifier: Apache-2.0
 *
 * nettle does the sums, with the CPU's own instructions where it has them. */
#include "hub/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <nettle/version.h>

#if NETTLE_VERSION_MAJOR >= 4
#define DIGEST(kind, state, digest) kind##_digest(state, digest)
#else
#define DIGEST(kind, state, digest) kind##_digest(state, sizeof(digest), digest)
#endif

struct csm_checksum {
    size_t n_digits;
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
};

struct csm_checksum *csm_checksum_begin(const char *name, uint64_t n_bytes)
{
    struct csm_checksum *sum = calloc(1, sizeof *sum);
    if (sum == NULL)
        return NULL;
    sum->n_digits = strlen(name);
    if (sum->n_digits == 64) {
        sha256_init(&sum->sha256);
    } else {
        char head[32];
        int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)n_bytes);
        sha1_init(&sum->sha1);
        sha1_update(&sum->sha1, (size_t)n + 1, (const uint8_t *)head);
    }
    return sum;
}

void csm_checksum_add(struct csm_checksum *sum, const void *bytes, size_t n)
{
    if (sum->n_digits == 64)
        sha256_update(&sum->sha256, n, bytes);
    else
        sha1_update(&sum->sha1, n, bytes);
}

static void write_hex(const uint8_t *digest, size_t n, char *text)
{
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

void csm_checksum_end(struct csm_checksum *sum, char text[CSM_CHECKSUM_SIZE])
{
    if (sum != NULL && text != NULL && sum->n_digits == 64) {
        uint8_t digest[SHA256_DIGEST_SIZE];
        DIGEST(sha256, &sum->sha256, digest);
        write_hex(digest, sizeof digest, text);
    } else if (sum != NULL && text != NULL) {
        uint8_t digest[SHA1_DIGEST_SIZE];
        DIGEST(sha1, &sum->sha1, digest);
        write_hex(digest, sizeof digest, text);
    }
    free(sum);
}
