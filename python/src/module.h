/* SPDX-License-Identifier: Apache-2.0
 *
 * module.h - what the parts of the extension module share. */
#ifndef CSM_PYTHON_MODULE_H
#define CSM_PYTHON_MODULE_H

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <utility>
#include <vector>

#include <csm/remarks.h>
#include <csm/status.h>
#include <csm/tensors.h>

namespace nb = nanobind;

/* Raise the Python exception of a status: ValueError for arguments, logits and
 * malformed files, OSError, MemoryError, else csm.EngineError. */
[[noreturn]] void raise(csm_status status, const csm_error &err);

inline void check(csm_status status, const csm_error &err)
{
    if (status != CSM_OK)
        raise(status, err);
}

/* Logits as Python hands them over: [rows, vocab] or [vocab], float32, bfloat16
 * or float16, by the buffer protocol or DLPack. float32 is used where it lies;
 * the half types are widened, which is exact. */
class Logits {
public:
    explicit Logits(nb::handle object);

    const float *data;
    size_t rows, vocab; /* 1 or more */
    csm_dtype dtype;

    bool is_one_row() const { return array.ndim() == 1; }

private:
    nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu> array;
    std::vector<float> widened;
};

/* As torch.manual_seed takes it: any integer of Python or NumPy from -2^63 to 2^64 - 1. */
struct Seed {
    uint64_t value;
};

/* What csm/remarks.h tells: (code, text) each. */
using Remarks = std::vector<std::pair<std::string, std::string>>;

inline Remarks remarks_of(const csm_remark *remarks, size_t n)
{
    Remarks all;
    for (size_t i = 0; i < n; i++)
        all.emplace_back(remarks[i].code, remarks[i].text);
    return all;
}

/* A NumPy array that owns `values`. */
template <typename T>
nb::ndarray<nb::numpy, T> numpy_array(std::vector<T> values, std::vector<size_t> shape)
{
    auto *held = new std::vector<T>(std::move(values));
    nb::capsule owner(held, [](void *p) noexcept { delete static_cast<std::vector<T> *>(p); });
    return nb::ndarray<nb::numpy, T>(held->data(), shape.size(), shape.data(), owner);
}

namespace nanobind::detail {
template <> struct type_caster<Seed> {
    NB_TYPE_CASTER(Seed, const_name("int"))

    bool from_python(handle source, uint8_t, cleanup_list *) noexcept
    {
        PyObject *number = PyNumber_Index(source.ptr());
        int overflow = 0;
        const long long small = number != nullptr ? PyLong_AsLongLongAndOverflow(number, &overflow) : 0;
        value.value = overflow > 0 ? PyLong_AsUnsignedLongLong(number) : static_cast<uint64_t>(small);
        Py_XDECREF(number);
        const bool is_right = PyErr_Occurred() == nullptr && overflow >= 0;
        PyErr_Clear();
        return is_right;
    }

    static handle from_cpp(Seed seed, rv_policy, cleanup_list *) noexcept
    {
        return PyLong_FromUnsignedLongLong(seed.value);
    }
};
} // namespace nanobind::detail

void bind_tensors(nb::module_ &m);
void bind_sampling(nb::module_ &m);
void bind_model(nb::module_ &m);
void bind_hub(nb::module_ &m);
void bind_mark(nb::module_ &m);
void bind_credentials(nb::module_ &m);
void bind_speech(nb::module_ &m);

#endif
