/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_mlx.c - words, scales and biases of MLX put together. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"

/* Bits and group size that config.json gives to a module; 0 where it says
 * nothing. Overrides are keys by the module's path, with or without "model.". */
static void said_quantization(const json_t *root, const char *module, int *bits, int *group_size)
{
    const json_t *all = json_object_get(root, "quantization");
    const json_t *own = json_object_get(all, module);
    if (own == NULL && strncmp(module, "model.", 6) == 0)
        own = json_object_get(all, module + 6);
    const json_t *said = json_is_object(own) ? own : all;
    *bits = (int)json_integer_value(json_object_get(said, "bits"));
    *group_size = (int)json_integer_value(json_object_get(said, "group_size"));
}

/* MLX's quantization of a matrix whose float shape would be `shape`: groups go
 * along the last axis. Bits and group size follow from the shapes of the three
 * tensors; what config.json says must agree. A stack of heads is quantized as
 * [K - 1, V, D], so that groups go along the inputs. */
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
    snprintf(name, sizeof name, "%s.biases", module);
    used[2] = csm_tensor_set_find(place->set, name);
    const csm_tensor *scales = used[1] != NULL ? &used[1]->tensor : NULL;
    const csm_tensor *biases = used[2] != NULL ? &used[2]->tensor : NULL;
    if (scales == NULL || biases == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: quantized, but without %s.%s: expected affine quantization (%s)",
                        tensor->name, module, scales == NULL ? "scales" : "biases", file);
    if (!csm_dtype_is_float(scales->dtype) || biases->dtype != scales->dtype)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s.scales and .biases: dtypes %s and %s, expected one of F32, F16, BF16 "
                        "(%s)",
                        module, csm_dtype_name(scales->dtype), csm_dtype_name(biases->dtype), file);

    const size_t words = tensor->rank == shape.rank ? tensor->shape[last] : 0;
    const size_t n_groups = scales->rank == shape.rank ? scales->shape[last] : 0;
    const size_t bits = words * 32 / cols;
    struct csm_shape expected = shape;
    expected.size[last] = words;
    if (!csm_has_shape(tensor, &expected) || (bits != 4 && bits != 8) || words * 32 != cols * bits) {
        expected.size[last] = cols / 4;
        csm_error shapes;
        (void)csm_refuse_shape(tensor, &expected, file, &shapes);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: 8 bits, or half of it for 4", shapes.text);
    }
    expected.size[last] = n_groups;
    const size_t group_size = n_groups != 0 ? cols / n_groups : 0;
    if (!csm_has_shape(scales, &expected) || n_groups == 0 || group_size * n_groups != cols ||
        (group_size != 32 && group_size != 64 && group_size != 128)) {
        expected.size[last] = cols / 64;
        csm_error shapes;
        (void)csm_refuse_shape(scales, &expected, file, &shapes);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: groups of 64, or of 32 or 128", shapes.text);
    }
    if (!csm_has_shape(biases, &expected))
        return csm_refuse_shape(biases, &expected, file, err);

    int said_bits, said_group_size;
    said_quantization(checkpoint->root, module, &said_bits, &said_group_size);
    if ((said_bits != 0 && (size_t)said_bits != bits) ||
        (said_group_size != 0 && (size_t)said_group_size != group_size))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %zu bits in groups of %zu, expected %d in groups of %d by "
                        "config.json (%s)",
                        tensor->name, bits, group_size, said_bits, said_group_size, file);
    source->format = CSM_WEIGHT_AFFINE;
    source->bits = (int)bits;
    source->group_size = (int)group_size;
    source->scales = *scales;
    source->biases = *biases;
    return CSM_OK;
}
