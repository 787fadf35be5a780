/* SPDX-License-Identifier: Apache-2.0 */
#include "mark/mark_options.h"

#include <string.h>

#include "base/error.h"
#include "mark/chips.h"
#include "mark/rate.h"

void csm_mark_options_init(csm_mark_options *o)
{
    csm_mark_options defaults = {.rate_hz = 24000, .payload = {.maker = CSM_MARK_MAKER_CSM}};
    defaults.size = o->size < sizeof defaults ? o->size : sizeof defaults;
    memcpy(o, &defaults, defaults.size);
}

csm_status mark_options_settle(const csm_mark_options *given, csm_mark_options *out,
                               csm_error *err)
{
    *out = csm_mark_defaults();
    if (given == NULL)
        return CSM_OK;
    if (given->size < sizeof given->size || given->size > 4096)
        return csm_fail(err, CSM_BAD_ARG, "csm_mark_options: size %zu, expected csm_mark_defaults()",
                        given->size);
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    if (out->rate_hz < CHIP_HZ || out->rate_hz % CHIP_HZ != 0 ||
        out->rate_hz > MAX_FACTOR * CHIP_HZ)
        return csm_fail(err, CSM_BAD_ARG, "mark: %d Hz, expected a multiple of 8000 up to 48000",
                        out->rate_hz);
    return CSM_OK;
}
