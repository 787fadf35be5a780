/* SPDX-License-Identifier: Apache-2.0 */
#define LOW_RANK csm_low_rank_avx2
#define LOW_RANK_BYTES 32
#define LOW_RANK_VECTORS 2
#include "checkpoint/low_rank_text.h"
