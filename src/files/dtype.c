/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/tensors.h>

const char *csm_dtype_name(csm_dtype dtype)
{
    switch (dtype) {
#define DTYPE_CASE(name, bytes)                                                                    \
    case CSM_DTYPE_##name:                                                                               \
        return #name;
        CSM_DTYPE_MAP(DTYPE_CASE)
#undef DTYPE_CASE
    case CSM_DTYPE_COUNT:
        break;
    }
    return "?";
}

size_t csm_dtype_size(csm_dtype dtype)
{
    switch (dtype) {
#define DTYPE_CASE(name, bytes)                                                                    \
    case CSM_DTYPE_##name:                                                                               \
        return bytes;
        CSM_DTYPE_MAP(DTYPE_CASE)
#undef DTYPE_CASE
    case CSM_DTYPE_COUNT:
        break;
    }
    return 0;
}
