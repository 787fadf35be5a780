/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sized.h"

#include <string.h>

#include "base/error.h"

csm_status csm_sized_read(const void *given, void *out, size_t known, const char *what,
                          csm_error *err)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > known)
        return csm_fail(err, CSM_BAD_ARG,
                        "%s: their size is %zu, expected what the function that makes them sets, "
                        "at most %zu",
                        what, size, known);
    memcpy(out, given, size);
    memcpy(out, &known, sizeof known);
    return CSM_OK;
}

void csm_sized_write(void *to, const void *from, size_t known)
{
    size_t size;
    memcpy(&size, to, sizeof size);
    const size_t n = size < known ? size : known;
    if (n > sizeof size)
        memcpy((char *)to + sizeof size, (const char *)from + sizeof size, n - sizeof size);
}
