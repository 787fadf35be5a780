/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.h - a model directory in 1 to 8 bits, as MLX's programs read it. */
#ifndef CSM_QUANTIZE_H
#define CSM_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of groups of neighbours, which share a scale. */
typedef struct csm_quantize_report {
    size_t n_groups; /* that were quantized */
    size_t n_zeroed; /* of them, those with a weight other than zero that are all zeros now:
                      * nvfp4 has no scale below 2^-9, so weights below 0.006 are lost */
} csm_quantize_report;

/* Read a model of any layout and write it in MLX's, under mlx-audio's names.
 *
 *   in_dir   a model directory, or a GGUF file, that is not quantized
 *   out_dir  made if it is not there; receives model.safetensors, config.json with
 *            "quantization", and copies of tokenizer.json, generation_config.json and
 *            the codec (mimi.safetensors) where the model has them
 *   mode     NULL or "affine"; "mxfp4", "mxfp8", "nvfp4"
 *   bits     affine: 1 to 6 or 8; the other modes have one number, 0 takes it
 *   group    affine: 32, 64 or 128 neighbours with one scale and bias; others as bits
 *   replace  whether a model that is in out_dir, one with a config.json, may be
 *            overwritten; in_dir itself never is
 *   report   NULL, or receives counts when CSM_OK is returned
 *
 * Every matrix and table whose rows are whole groups becomes what
 * mx.quantize(w, group, bits, mode) of the CPU gives (mlx 0.32.4), bit for bit; norms and the depth decoder's
 * heads stay floats, as mlx-audio's converter leaves them. Float32 is rounded to
 * bfloat16 first. Rows of q and k are put in the order of MLX's rotation.
 *
 * Each file is written whole or not at all, config.json last. Returns CSM_OK;
 * CSM_BAD_ARG (mode, bits, group; out_dir is in_dir, or
 * links into it, or holds a model); what opening a model returns; CSM_BAD_FORMAT (already
 * quantized; untied tables); CSM_BAD_FILE; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_quantize(const char *in_dir, const char *out_dir,
                                             const char *mode, int bits, int group, bool replace,
                                             csm_quantize_report *report, csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
