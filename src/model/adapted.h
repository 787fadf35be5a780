/* SPDX-License-Identifier: Apache-2.0
 *
 * adapted.h - adapters kept beside a language model's weights, for lanes that ask for them. */
#ifndef CSM_MODEL_ADAPTED_H
#define CSM_MODEL_ADAPTED_H

#include "model/language.h"

/* Read an adapter and give its pairs to the language's matrices, under its number.
 *
 *   number  1 or more, no other's
 *
 * CSM_BAD_ARG where the engine keeps none; CSM_BAD_FORMAT what is no low-rank pair of a layer's
 * projections, with the way out; else as csm_kept_adapter_open. */
csm_status csm_language_adapt(struct csm_language *language, const csm_checkpoint *checkpoint,
                              const csm_adapter *adapter, size_t number, csm_error *err);

#endif
