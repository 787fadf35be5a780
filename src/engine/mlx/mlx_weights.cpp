// SPDX-License-Identifier: Apache-2.0
//
// Tensors of a checkpoint as MLX arrays, which are views of the mapped file where
// MLX can use its pages (Metal, if they are aligned) and copies else, or in
// another precision where one was asked for.
#include "engine/mlx/mlx_engine.h"

namespace csm_mlx {

static mx::Dtype dtype_of(const csm_tensor &tensor)
{
    switch (tensor.dtype) {
    case CSM_DTYPE_F32: return mx::float32;
    case CSM_DTYPE_F16: return mx::float16;
    case CSM_DTYPE_BF16: return mx::bfloat16;
    case CSM_DTYPE_U32: return mx::uint32;
    case CSM_DTYPE_U8: return mx::uint8;
    default:
        throw declined("tensor " + std::string(tensor.name ? tensor.name : "?") + ": dtype " +
                       csm_dtype_name(tensor.dtype) + ", expected F32, BF16, F16, U32 or U8");
    }
}

static mx::array view(const csm_tensor &tensor)
{
    expect_room(tensor.n_bytes);
    mx::Shape shape;
    for (size_t i = 0; i < tensor.rank; i++)
        shape.push_back(dim(tensor.shape[i]));
    return mx::array(const_cast<void *>(tensor.data), shape, dtype_of(tensor), [](void *) {});
}

// The dtype that the precision asked for gives to a floating-point tensor.
static mx::Dtype wanted(const context &c, const csm_weight_source &source, mx::Dtype stored)
{
    // The codec's matrices: float32 arithmetic. Its vectors, and the norms of the
    // language model, stay as they are; norm() follows its input.
    if (source.exact)
        return source.tensor.rank >= 2 ? mx::float32 : stored;
    switch (c.precision) {
    case CSM_PRECISION_F32: return mx::float32;
    case CSM_PRECISION_BF16: return mx::bfloat16;
    case CSM_PRECISION_F16: return mx::float16;
    default: return stored;
    }
}

// Evaluated while the view is held: MLX may reuse the memory of an operand that
// nobody else holds, and the file is mapped read-only.
static mx::array converted(context &c, const mx::array &view, mx::Dtype dtype)
{
    if (view.dtype() == dtype)
        return view;
    expect_room(view.size() * dtype.size());
    mx::array copy = mx::astype(view, dtype, c.stream);
    mx::eval(copy);
    return copy;
}

static const char *mode_of(csm_weight_format format)
{
    switch (format) {
    case CSM_WEIGHT_MXFP4: return "mxfp4";
    case CSM_WEIGHT_MXFP8: return "mxfp8";
    case CSM_WEIGHT_NVFP4: return "nvfp4";
    default: return "affine";
    }
}

csm_weight make_weight(context &c, const csm_weight_source &source)
{
    mx::array stored = view(source.tensor);

    if (source.format != CSM_WEIGHT_FLOAT) {
        csm_weight weight{stored};
        weight.bits = source.bits;
        weight.group_size = source.group_size;
        weight.mode = mode_of(source.format);
        mx::array scales = view(source.scales);
        if (source.format != CSM_WEIGHT_AFFINE) {
            weight.scales = scales;
            weight.row_dtype = wanted(c, source, mx::bfloat16); // what MLX makes of them
            return weight;
        }
        if (source.group_size == 16) // types of ggml
            throw declined("tensor " + std::string(source.tensor.name) +
                           ": quantized in groups of 16, expected 32, 64 or 128: engine native "
                           "reads it");
        mx::array biases = view(source.biases);
        mx::Dtype dtype = wanted(c, source, scales.dtype());
        weight.scales = converted(c, scales, dtype);
        weight.biases = converted(c, biases, dtype);
        return weight;
    }

    csm_weight weight{converted(c, stored, wanted(c, source, stored.dtype()))};
    weight.transposed = source.transposed;

    // As mlx.nn.quantize: matrices and tables whose rows are whole groups; not
    // csm's depth heads, which are a bare array there.
    const int group_size = 64;
    bool quantize = (c.precision == CSM_PRECISION_Q8 || c.precision == CSM_PRECISION_Q4) && !source.exact &&
                    !source.transposed && stored.ndim() == 2 && stored.shape(1) % group_size == 0;
    if (quantize) {
        weight.bits = c.precision == CSM_PRECISION_Q8 ? 8 : 4;
        weight.group_size = group_size;
        std::vector<mx::array> parts = mx::quantize(weight.data, group_size, weight.bits, "affine",
                                                    std::nullopt, c.stream);
        mx::eval(parts);
        weight.data = parts[0];
        weight.scales = parts[1];
        weight.biases = parts[2];
    }
    return weight;
}

} // namespace csm_mlx
