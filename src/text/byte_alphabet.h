/* SPDX-License-Identifier: Apache-2.0
 *
 * byte_alphabet.h - GPT-2's alphabet of bytes, in which a tokenizer.json spells
 * its tokens: each of the 256 bytes is one printable character. */
#ifndef CSM_TEXT_BYTE_ALPHABET_H
#define CSM_TEXT_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSM_ALPHABET_SIZE = 324 }; /* its characters are below this code point */

/* byte_of[character], -1 for a character outside the alphabet. */
struct csm_alphabet {
    int16_t byte_of[CSM_ALPHABET_SIZE];
};
void csm_alphabet_fill(struct csm_alphabet *alphabet);

/* The bytes that a token spells; `bytes` has room for n. Returns how many, or -1
 * where the token has a character outside the alphabet. */
ptrdiff_t csm_alphabet_bytes(const struct csm_alphabet *alphabet, const char *token, size_t n,
                             unsigned char *bytes);

#endif
