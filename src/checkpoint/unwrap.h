/* SPDX-License-Identifier: Apache-2.0
 *
 * unwrap.h - names of modules without what PyTorch's wrappers put into them:
 * torch.compile (`_orig_mod.`), DataParallel (`module.`), FSDP
 * (`_fsdp_wrapped_module.`), activation checkpointing
 * (`_checkpoint_wrapped_module.`), Fabric (`_forward_module.`), PEFT
 * (`base_model.model.` before a name; `.base_layer.` and
 * `.modules_to_save.default.` inside), and a LightningModule's `model.` before
 * transformers' names. Any of them, any number of times. */
#ifndef CSM_CHECKPOINT_UNWRAP_H
#define CSM_CHECKPOINT_UNWRAP_H

#include <csm/status.h>

/* *out receives the name without wrappers, to be freed, or NULL where there are
 * none. *wrapper, if it is NULL and one was found, receives the first one, to be
 * freed. CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_unwrap(const char *name, char **out, char **wrapper, csm_error *err);

#endif
