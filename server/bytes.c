/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

char *bytes_to_base64(const void *bytes, size_t n)
{
    char *out = malloc(4 * ((n + 2) / 3) + 1);
    if (out != NULL)
        EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
    return out;
}

void *bytes_from_base64(const char *text, size_t n, size_t *n_bytes)
{
    char *plain = malloc(n + 4);
    unsigned char *out = malloc(n / 4 * 3 + 6);
    size_t m = 0, n_padding = 0;
    bool is_right = plain != NULL && out != NULL;
    for (size_t i = 0; is_right && i < n; i++) {
        if (memchr(" \t\r\n", text[i], 4) != NULL)
            continue;
        n_padding += text[i] == '=';
        is_right = n_padding == 0 || text[i] == '='; /* nothing but padding behind padding */
        plain[m++] = text[i];
    }
    is_right = is_right && n_padding <= 2 && (n_padding == 0 || m % 4 == 0) &&
               (m - n_padding) % 4 != 1;
    if (is_right) {
        for (m -= n_padding, n_padding = 0; (m + n_padding) % 4 != 0;)
            plain[m + n_padding++] = '=';
        const int decoded = EVP_DecodeBlock(out, (unsigned char *)plain, (int)(m + n_padding));
        is_right = decoded >= 0;
        *n_bytes = is_right ? (size_t)decoded - n_padding : 0;
    }
    free(plain);
    if (!is_right) {
        free(out);
        out = NULL;
    }
    return out;
}

void bytes_random_name(const char *prefix, char *out)
{
    unsigned char random[12];
    RAND_bytes(random, sizeof random);
    int n = snprintf(out, 9, "%s", prefix);
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(out + n, 3, "%02x", random[i]);
}

uint64_t bytes_random_u64(void)
{
    uint64_t n = 0;
    RAND_bytes((unsigned char *)&n, sizeof n);
    return n;
}

/* Digests have one length, so that the secret's own is not told either. */
bool bytes_same_secret(const char *a, const char *b)
{
    unsigned char x[SHA256_DIGEST_LENGTH], y[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, strlen(a), x);
    SHA256((const unsigned char *)b, strlen(b), y);
    return CRYPTO_memcmp(x, y, sizeof x) == 0;
}
