/* SPDX-License-Identifier: Apache-2.0 */
#define LOW_RANK csm_low_rank_avx512
#define LOW_RANK_BYTES 64
#define LOW_RANK_VECTORS 4
#include "checkpoint/low_rank_text.h"
