/* SPDX-License-Identifier: Apache-2.0
 *
 * merge.h - a model with its adapters merged, as a model directory of its own. */
#ifndef CSM_MERGE_H
#define CSM_MERGE_H

#include <stddef.h>

#include <csm/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write a model with adapters merged, in the layout, names and dtypes that it has.
 *
 *   in_dir      a model that is not quantized where the adapters change it
 *   adapters    [n]; n 0: the one that lies in in_dir
 *   out_dir     is made; nothing, or an empty directory, may be there. It receives
 *               model.safetensors, the codec's file if it is another, config.json, and
 *               copies of the tokenizer's and the other small files. It is written
 *               beside itself (OUT_DIR.part) and appears whole or not at all
 *
 * Returns CSM_OK; CSM_BAD_ARG (no adapter; out_dir holds something); what opening a model
 * returns; CSM_BAD_FILE; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_merge(const char *in_dir, const csm_adapter *adapters,
                                          size_t n, const char *out_dir, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
