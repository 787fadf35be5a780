/* SPDX-License-Identifier: Apache-2.0 */
#define ROW_KERNELS csm_row_kernels_generic
#include "sampling/row_kernels_text.h"
