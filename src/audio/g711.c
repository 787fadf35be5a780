/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/g711.h"

/* The place of the highest bit of value, counted from bit `from`; 0 when it is at or below. */
static unsigned exponent(unsigned value, unsigned from)
{
    unsigned e = 0;
    while (value >> (from + e + 1) != 0)
        e++;
    return e;
}

uint8_t csm_g711_ulaw(int16_t sample)
{
    enum { BIAS = 132, CLIP = 32635 };
    const unsigned sign = sample < 0 ? 0x80 : 0;
    unsigned value = (unsigned)(sample < 0 ? -(int)sample : sample);
    value = (value > CLIP ? CLIP : value) + BIAS;
    const unsigned e = exponent(value, 7);
    return (uint8_t) ~(sign | e << 4 | (value >> (e + 3) & 0x0f));
}

uint8_t csm_g711_alaw(int16_t sample)
{
    const unsigned sign = sample < 0 ? 0 : 0x80;
    const unsigned value =
        (unsigned)(sample < 0 ? -(int)sample - 1 : sample); /* ones' complement */
    const unsigned e = exponent(value, 7);
    const unsigned mantissa = value >> (e == 0 ? 4 : e + 3) & 0x0f;
    return (uint8_t)((sign | e << 4 | mantissa) ^ 0x55);
}
