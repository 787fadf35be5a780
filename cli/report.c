/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stdio.h>

int report(csm_status status, const csm_error *err)
{
    fprintf(stderr, "csm: %s\n", err->text);
    switch (status) {
    case CSM_OK:
        return EXIT_OK;
    case CSM_BAD_ARG:
        return EXIT_USAGE;
    case CSM_BAD_FILE:
    case CSM_BAD_FORMAT:
        return EXIT_REFUSED;
    case CSM_NO_MEMORY:
    case CSM_BAD_LOGITS:
    case CSM_ENGINE:
    case CSM_NO_ENGINE:
    case CSM_CANCELLED:
        break;
    }
    return EXIT_ENGINE;
}
