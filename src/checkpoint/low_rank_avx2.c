/* SPDX-License-Identifier: Apache-2.0 */
#define LOW_RANK csm_low_rank_avx2
#include "checkpoint/low_rank_text.h"
