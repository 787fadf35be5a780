/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_mlx.c - words, scales and biases of MLX put together. */
#include <stdio.h>
#include <string.h>

#include "base/affine.h"
#include "base/error.h"
#include "base/fp_blocks.h"
#include "base/quantized_row.h"
#include "checkpoint/checkpoint_parts.h"

/* What config.json says of a module: 0 and NULL where it says nothing. */
struct said {
    int bits, group_size;
    const char *mode;
};

/* Overrides are keys by the module's path, with or without "model."; one that names no
 * mode is affine, whatever the others are. */
static struct said said_quantization(const json_t *root, const char *module)
{
    const json_t *all = json_object_get(root, "quantization");
    const json_t *own = json_object_get(all, module);
    if (own == NULL && strncmp(module, "model.", 6) == 0)
        own = json_object_get(all, module + 6);
    const bool is_own = json_is_object(own);
    const json_t *said = is_own ? own : all;
    const char *mode = json_string_value(json_object_get(said, "mode"));
    return (struct said){(int)json_integer_value(json_object_get(said, "bits")),
                         (int)json_integer_value(json_object_get(said, "group_size")),
                         mode == NULL && is_own ? "affine" : mode};
}

/* The format that the three shapes tell; bits 0: none. */
static struct csm_weight_source told_by_shapes(size_t cols, size_t words, const csm_tensor *scales,
                                               size_t n_groups)
{
    struct csm_weight_source told = {.format = CSM_WEIGHT_AFFINE};
    if (cols == 0 || n_groups == 0 || words * 32 % cols != 0 || cols % n_groups != 0)
        return told;
    const size_t bits = words * 32 / cols, group = cols / n_groups;
    if (bits > 8 || group > 128)
        return told;
    bool is_known = scales->dtype != CSM_DTYPE_U8 &&
                    csm_affine_is_read((int)bits, (int)group, cols);
    for (int f = CSM_WEIGHT_MXFP4; f <= CSM_WEIGHT_NVFP4; f++) {
        const struct csm_fp_mode *mode = csm_fp_mode((enum csm_weight_format)f);
        if (scales->dtype == CSM_DTYPE_U8 && (size_t)mode->bits == bits &&
            (size_t)mode->group == group) {
            told.format = mode->format;
            is_known = true;
        }
    }
    told.bits = is_known ? (int)bits : 0;
    told.group_size = (int)group;
    return told;
}

/* MLX's quantization of a matrix whose float shape would be `shape`: groups go
 * along the last axis. Mode, bits and group size follow from the tensors; what
 * config.json says must agree. A stack of heads is quantized as [K - 1, V, D],
 * so that groups go along the inputs. */
csm_status csm_find_mlx_quantized(const struct csm_checkpoint *checkpoint,
                                  const struct csm_place *place, struct csm_shape shape,
                                  struct csm_weight_source *source,
                                  struct csm_set_tensor *used[CSM_MAX_USED], csm_error *err)
{
    const csm_tensor *tensor = &source->tensor;
    const char *file = used[0]->file;
    if (shape.rank == 3)
        shape = (struct csm_shape){3, {shape.size[0], shape.size[2], shape.size[1]}};
    const size_t last = shape.rank - 1, cols = shape.size[last];
    char module[CSM_NAME_MAX], name[CSM_NAME_MAX + 8];
    snprintf(module, sizeof module, "%s", used[0]->name);
    char *suffix = strstr(module, ".weight");
    if (suffix != NULL)
        *suffix = '\0';
    snprintf(name, sizeof name, "%s.scales", module);
    used[1] = csm_tensor_set_find(place->set, name);
    if (used[1] == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: quantized, but without %s.scales: expected MLX's quantization (%s)",
                        tensor->name, module, file);
    const csm_tensor *scales = &used[1]->tensor, *biases = NULL;
    if (scales->dtype != CSM_DTYPE_U8) {
        snprintf(name, sizeof name, "%s.biases", module);
        used[2] = csm_tensor_set_find(place->set, name);
        if (used[2] == NULL)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s: quantized, but without %s.biases: expected affine quantization "
                            "(%s)",
                            tensor->name, module, file);
        biases = &used[2]->tensor;
        if (!csm_dtype_is_weight(scales->dtype) || biases->dtype != scales->dtype)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "%s.scales and .biases: dtypes %s and %s, expected one of F32, F16, "
                            "BF16 (%s)",
                            module, csm_dtype_name(scales->dtype), csm_dtype_name(biases->dtype),
                            file);
    }

    const struct said said = said_quantization(checkpoint->root, module);
    const size_t words = tensor->rank == shape.rank ? tensor->shape[last] : 0;
    const size_t n_groups = scales->rank == shape.rank ? scales->shape[last] : 0;
    const struct csm_weight_source told = told_by_shapes(cols, words, scales, n_groups);
    struct csm_shape of_words = shape, of_scales = shape;
    of_words.size[last] = words;
    of_scales.size[last] = n_groups;
    if (told.bits == 0 || !csm_has_shape(tensor, &of_words) || !csm_has_shape(scales, &of_scales)) {
        const int bits = said.bits != 0 ? said.bits : 4;
        of_words.size[last] = cols * (size_t)bits / 32;
        csm_error shapes;
        (void)csm_refuse_shape(tensor, &of_words, file, &shapes);
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: for %d bits; csm reads affine of 1 to 6 or 8 bits in groups of 32, 64 "
                        "or 128, mxfp4, mxfp8 and nvfp4; scales are %s in groups of %zu",
                        shapes.text, bits, csm_dtype_name(scales->dtype),
                        n_groups != 0 ? cols / n_groups : 0);
    }
    if (biases != NULL && !csm_has_shape(biases, &of_scales))
        return csm_refuse_shape(biases, &of_scales, file, err);

    const char *mode = csm_quantized_mode(&told);
    if ((said.bits != 0 && said.bits != told.bits) ||
        (said.group_size != 0 && said.group_size != told.group_size) ||
        (said.mode != NULL && strcmp(said.mode, mode) != 0))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s, %d bits in groups of %d, expected %s, %d in groups of %d by "
                        "config.json (%s)",
                        tensor->name, mode, told.bits, told.group_size,
                        said.mode != NULL ? said.mode : mode, said.bits, said.group_size, file);
    source->format = told.format;
    source->bits = told.bits;
    source->group_size = told.group_size;
    source->scales = *scales;
    if (biases != NULL)
        source->biases = *biases;
    return CSM_OK;
}
