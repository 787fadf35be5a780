/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/mark_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "mark/chips.h"
#include "mark/rate.h"

void csm_mark_options_init(csm_mark_options *o)
{
    const csm_mark_options defaults = {.rate_hz = 24000, .payload = {.maker = CSM_MARK_MAKER_CSM}};
    csm_sized_write(o, &defaults, sizeof defaults);
}

csm_mark_payload csm_mark_payload_of(const char *model_digest)
{
    char first[5] = "";
    if (model_digest != NULL)
        memcpy(first, model_digest, strnlen(model_digest, 4));
    return (csm_mark_payload){.maker = CSM_MARK_MAKER_CSM,
                              .model = (uint16_t)strtoul(first, NULL, 16)};
}

csm_status csm_mark_options_settle(const csm_mark_options *given, csm_mark_options *out,
                               csm_error *err)
{
    *out = csm_mark_defaults();
    csm_status status = CSM_OK;
    if (given != NULL)
        status = csm_sized_read(given, out, sizeof *out, "mark options", err);
    if (status == CSM_OK && (out->rate_hz < CHIP_HZ || out->rate_hz % CHIP_HZ != 0 ||
                             out->rate_hz > MAX_FACTOR * CHIP_HZ))
        status = csm_fail(err, CSM_BAD_ARG, "mark: %d Hz, expected a multiple of 8000 up to 48000",
                          out->rate_hz);
    return status;
}
