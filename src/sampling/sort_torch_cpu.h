/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CSM_SAMPLING_SORT_TORCH_CPU_H
#define CSM_SAMPLING_SORT_TORCH_CPU_H

#include <stddef.h>
#include <stdint.h>

/* order [n] receives the indices that torch.sort(v) gives on the CPU for v [n], ascending,
 * no NaN: of equal values too. */
void csm_sort_torch_cpu(const float *v, size_t n, uint32_t *order);

/* order [n] receives in its first k entries, 1 <= k <= n, the indices that
 * torch.topk(-v, k) gives on the CPU, and all others after them. */
void csm_lowest_torch_cpu(const float *v, size_t n, size_t k, uint32_t *order);

#endif
