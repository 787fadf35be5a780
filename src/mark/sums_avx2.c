/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/sums_text.h"

const struct mark_sums csm_mark_sums_avx2 = {terms, lags, chips};
