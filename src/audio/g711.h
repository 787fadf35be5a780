/* SPDX-License-Identifier: Apache-2.0
 *
 * g711.h - telephony's eight bits a sample, ITU-T G.711: sign, exponent and four bits of
 * mantissa of a 14 (mu-law) or 13 bit (A-law) sample. */
#ifndef CSM_AUDIO_G711_H
#define CSM_AUDIO_G711_H

#include <stdint.h>

uint8_t csm_g711_ulaw(int16_t sample);
uint8_t csm_g711_alaw(int16_t sample);

#endif
