/* SPDX-License-Identifier: Apache-2.0
 *
 * choose.h - what a generation draws with: strategy, sampler, stream, dtype and
 * settings, from the options, the model and its generation_config. */
#ifndef CSM_GENERATE_CHOOSE_H
#define CSM_GENERATE_CHOOSE_H

#include "generate/generation.h"

/* Fill the report's choices and make the sampler. CSM_BAD_ARG names the option. */
csm_status csm_choose(csm_generation *generation, csm_error *err);

#endif
