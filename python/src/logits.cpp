/* SPDX-License-Identifier: Apache-2.0 */
#include "module.h"

namespace {

csm_dtype dtype_of(const nb::dlpack::dtype &type)
{
    const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
    if (code == nb::dlpack::dtype_code::Float && type.bits == 32)
        return CSM_DTYPE_F32;
    if (code == nb::dlpack::dtype_code::Float && type.bits == 16)
        return CSM_DTYPE_F16;
    if (code == nb::dlpack::dtype_code::Bfloat && type.bits == 16)
        return CSM_DTYPE_BF16;
    throw nb::type_error("logits: dtype must be float32, bfloat16 or float16");
}

/* What nanobind reads as it is meant. torch's tensors may be views whose numbers count with the
 * other sign (x.conj().imag), which torch leaves out where it hands them over by DLPack
 * (findings/torch-dlpack-loses-the-sign.sh). ctypes' arrays come without strides, which nanobind
 * reads all the same; a memoryview has them. */
nb::object readable(nb::handle object)
{
    if (nb::hasattr(object, "resolve_neg"))
        return object.attr("resolve_neg")();
    if (!PyObject_CheckBuffer(object.ptr()) || nb::hasattr(object, "__dlpack__"))
        return nb::borrow(object);
    PyObject *view = PyMemoryView_FromObject(object.ptr());
    if (view == nullptr)
        throw nb::python_error();
    return nb::steal(view);
}

} // namespace

Logits::Logits(nb::handle object)
{
    if (!nb::try_cast(readable(object), array) ||
        (array.data() == nullptr && array.size() != 0)) /* torch's FakeTensor has no values */
        throw nb::type_error("logits: expected an array on the CPU, contiguous, of float32, "
                             "bfloat16 or float16");
    if (array.ndim() != 1 && array.ndim() != 2)
        throw nb::value_error("logits: shape must be [vocab] or [rows, vocab]");
    dtype = dtype_of(array.dtype());
    rows = array.ndim() == 2 ? array.shape(0) : 1;
    vocab = array.shape(array.ndim() - 1);
    if (rows == 0 || vocab == 0)
        throw nb::value_error("logits: there are none");
    if (dtype == CSM_DTYPE_F32) {
        data = static_cast<const float *>(array.data());
        return;
    }
    widened.resize(rows * vocab);
    csm_tensor tensor = {};
    tensor.dtype = dtype;
    tensor.data = array.data();
    csm_tensor_floats(&tensor, 0, widened.size(), widened.data());
    data = widened.data();
}
