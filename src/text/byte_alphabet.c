/* SPDX-License-Identifier: Apache-2.0 */
#include "text/byte_alphabet.h"

#include "base/utf8.h"

/* Bytes that are printable in Latin-1 stand for themselves; the others are
 * numbered from 256 on, in order. */
void csm_alphabet_fill(struct csm_alphabet *alphabet)
{
    for (size_t c = 0; c < CSM_ALPHABET_SIZE; c++)
        alphabet->byte_of[c] = -1;
    int next = 256;
    for (int b = 0; b < 256; b++) {
        bool is_printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        alphabet->byte_of[is_printable ? b : next++] = (int16_t)b;
    }
}

ptrdiff_t csm_alphabet_bytes(const struct csm_alphabet *alphabet, const char *token, size_t n,
                             unsigned char *bytes)
{
    ptrdiff_t n_bytes = 0;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += csm_utf8_next(token + at, &c);
        if (c >= CSM_ALPHABET_SIZE || alphabet->byte_of[c] < 0)
            return -1;
        bytes[n_bytes++] = (unsigned char)alphabet->byte_of[c];
    }
    return n_bytes;
}
