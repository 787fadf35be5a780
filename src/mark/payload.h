/* SPDX-License-Identifier: Apache-2.0
 *
 * payload.h - 32 bits of payload as coded bits, and back from what is left of them:
 * CRC-24 (RFC 9580) behind them, then the tail-biting convolutional code of rate 1/3
 * and constraint length 9 with the generators 557, 663, 711 (octal) of 3GPP TS 25.212. */
#ifndef CSM_MARK_PAYLOAD_H
#define CSM_MARK_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <csm/mark.h>

enum { N_MESSAGE_BITS = 32 + 24, N_CODED_BITS = 3 * N_MESSAGE_BITS };

/* The coded bits as -1 and 1. */
void csm_mark_payload_encode(const csm_mark_payload *payload, float coded[N_CODED_BITS]);

/* soft: each coded bit's sum of evidence, its sign the bit, its size the certainty.
 * false if no payload fits (the check bits differ). */
bool csm_mark_payload_decode(const float soft[N_CODED_BITS], csm_mark_payload *payload);

#endif
