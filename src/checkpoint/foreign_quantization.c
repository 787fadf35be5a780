/* SPDX-License-Identifier: Apache-2.0
 *
 * foreign_quantization.c - weights that another program has quantized, told by
 * what it writes into config.json, or by the tensors that it makes of one. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/path.h"

#define EXPECTED "expected floats, MLX's quantization, FP8 or bitsandbytes"
#define FROM_16_BITS                                                                               \
    "take the model that it was made of, in 16 bits, and quantize that: csm quantize"
#define DEQUANTIZE                                                                                 \
    "load it with transformers, model.dequantize(), save_pretrained, then csm quantize"

/* quantization_config's quant_method; the way out where transformers can undo it. */
static const struct method {
    const char *key, *name, *way_out;
} methods[] = {
    {"awq", "AWQ", FROM_16_BITS},
    {"gptq", "GPTQ", FROM_16_BITS},
    {"aqlm", "AQLM", FROM_16_BITS},
    {"quanto", "Quanto", FROM_16_BITS},
    {"eetq", "EETQ", FROM_16_BITS},
    {"higgs", "HIGGS", DEQUANTIZE},
    {"hqq", "HQQ", FROM_16_BITS},
    {"torchao", "torchao", FROM_16_BITS},
    {"bitnet", "BitNet", FROM_16_BITS},
    {"vptq", "VPTQ", FROM_16_BITS},
    {"spqr", "SpQR", FROM_16_BITS},
    {"auto-round", "AutoRound", FROM_16_BITS},
    {"mxfp4", "MXFP4 of transformers", FROM_16_BITS},
    {"fp_quant", "FP-Quant", FROM_16_BITS},
    {"exl2", "EXL2", FROM_16_BITS},
    {"exl3", "EXL3", FROM_16_BITS},
};

/* Whether tensors tell what can be read of it and what not (dequantize.h, and below). */
static bool is_told_by_tensors(const char *method)
{
    static const char *const methods_told[] = {
        "mlx",  "bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit", "compressed-tensors",
        "fp8",  "fbgemm_fp8",   "quark",             "modelopt"};
    for (size_t i = 0; i < sizeof methods_told / sizeof *methods_told; i++)
        if (strcmp(method, methods_told[i]) == 0)
            return true;
    return false;
}

csm_status csm_refuse_foreign_config(const char *directory, const json_t *root, csm_error *err)
{
    const json_t *said = json_object_get(root, "quantization_config");
    if (!json_is_object(said)) /* vLLM's key for the same */
        said = json_object_get(root, "compression_config");
    const char *key = json_string_value(json_object_get(said, "quant_method"));
    if (key == NULL || is_told_by_tensors(key))
        return CSM_OK;
    const struct method *method = NULL;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].key, key) == 0)
            method = &methods[i];
    char bits[32] = "";
    const json_int_t n = json_integer_value(json_object_get(said, "bits"));
    if (n > 0)
        snprintf(bits, sizeof bits, " to %lld bits", (long long)n);
    return csm_fail(err, CSM_BAD_FORMAT, "%s/config.json: quantized by %s%s, " EXPECTED ": %s",
                    directory, method != NULL ? method->name : key, bits,
                    method != NULL ? method->way_out : FROM_16_BITS);
}

/* What a name contains, or (after '$') ends in. */
static const struct mark {
    const char *text, *name, *way_out;
} marks[] = {
    {".quant_state.bitsandbytes__", "bitsandbytes to 4 bits", DEQUANTIZE},
    {"$.quant_map", "bitsandbytes to 4 bits", DEQUANTIZE},
    {"$.absmax", "bitsandbytes to 4 bits", DEQUANTIZE},
    {"$.SCB", "bitsandbytes to 8 bits", DEQUANTIZE},
    {"$.g_idx", "GPTQ", FROM_16_BITS},
    {"$.qzeros", "AWQ or GPTQ", FROM_16_BITS},
    {"$.qweight", "AWQ or GPTQ", FROM_16_BITS},
    {"$.weight_packed", "compressed-tensors", FROM_16_BITS},
    {"$.weight_scale_inv", "FP8", FROM_16_BITS},
    {"$.weight_scale", "FP8 or compressed-tensors", FROM_16_BITS},
    {"$.input_scale", "FP8", FROM_16_BITS},
    {"$.weight_scales", "EETQ", FROM_16_BITS},
    {"$.weight._data", "Quanto", FROM_16_BITS},
    {"$._weight_qdata", "torchao", FROM_16_BITS},
    {"$.W_q", "HQQ", FROM_16_BITS},
    {"$.codebooks", "AQLM", FROM_16_BITS},
    {"$.q_weight", "EXL2", FROM_16_BITS},
    {"$.trellis", "EXL3", FROM_16_BITS},
    {"$_blocks", "MXFP4 of transformers", FROM_16_BITS},
    {"$.centroids.weight", "VPTQ", FROM_16_BITS},
};

csm_status csm_refuse_foreign_tensors(const struct csm_tensor_set *set, csm_error *err)
{
    /* In the order of the marks: the more telling ones come first. */
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
        for (size_t i = 0; i < set->n; i++) {
            const struct csm_set_tensor *t = &set->tensors[i];
            const char *text = marks[m].text;
            const bool is_found = text[0] == '$' ? csm_path_ends_with(t->name, text + 1)
                                                 : strstr(t->name, text) != NULL;
            if (is_found)
                return csm_fail(err, CSM_BAD_FORMAT, "%s: quantized by %s, " EXPECTED ": %s (%s)",
                                t->tensor.name, marks[m].name, marks[m].way_out, t->file);
        }
    return CSM_OK;
}
