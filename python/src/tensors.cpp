/* SPDX-License-Identifier: Apache-2.0
 *
 * tensors.cpp - csm/tensors.h for Python: token files without another package. */
#include "module.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <memory>
#include <string>

namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Metadata = std::map<std::string, std::string>;

csm_dtype dtype_of(const nb::dlpack::dtype &type)
{
    const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
    if (code == nb::dlpack::dtype_code::Float && type.bits == 32)
        return CSM_DTYPE_F32;
    if (code == nb::dlpack::dtype_code::Int && type.bits == 32)
        return CSM_DTYPE_I32;
    throw nb::type_error("tensors: dtype must be int32 or float32");
}

void write_tensors(const std::string &path, const std::map<std::string, Array> &arrays,
                   const Metadata &metadata)
{
    std::vector<csm_tensor> tensors;
    for (const auto &[name, array] : arrays) {
        csm_tensor tensor = {};
        tensor.name = name.c_str();
        tensor.dtype = dtype_of(array.dtype());
        tensor.rank = array.ndim();
        if (tensor.rank > CSM_MAX_RANK)
            throw nb::value_error("tensors: too many dimensions");
        for (size_t i = 0; i < tensor.rank; i++)
            tensor.shape[i] = array.shape(i);
        tensor.data = array.data();
        tensor.n_bytes = array.nbytes();
        tensors.push_back(tensor);
    }
    std::vector<const char *> strings;
    for (const auto &[key, value] : metadata) {
        strings.push_back(key.c_str());
        strings.push_back(value.c_str());
    }
    csm_error err;
    check(csm_tensors_write(path.c_str(), tensors.data(), tensors.size(), strings.data(),
                            metadata.size(), &err),
          err);
}

template <typename T> nb::object copy_of(const csm_tensor &tensor)
{
    const T *data = static_cast<const T *>(tensor.data);
    return nb::cast(numpy_array(std::vector<T>(data, data + tensor.n_bytes / sizeof(T)),
                                {tensor.shape, tensor.shape + tensor.rank}));
}

struct close_tensors {
    void operator()(csm_tensors *file) const { csm_tensors_close(file); }
};
using File = std::unique_ptr<csm_tensors, close_tensors>;

File open_tensors(const std::string &path)
{
    csm_tensors *file;
    csm_error err;
    check(csm_tensors_open(path.c_str(), &file, &err), err);
    return File(file);
}

/* The file's int32 and float32 tensors by name; others are left out. */
nb::dict read_tensors(const std::string &path)
{
    const File file = open_tensors(path);
    nb::dict arrays;
    for (size_t i = 0; i < csm_tensors_count(file.get()); i++) {
        const csm_tensor *tensor = csm_tensors_at(file.get(), i);
        if (tensor->dtype == CSM_DTYPE_I32)
            arrays[tensor->name] = copy_of<int32_t>(*tensor);
        else if (tensor->dtype == CSM_DTYPE_F32)
            arrays[tensor->name] = copy_of<float>(*tensor);
    }
    return arrays;
}

/* The strings of the header under these keys, where it has them. */
Metadata read_metadata(const std::string &path, const std::vector<std::string> &keys)
{
    const File file = open_tensors(path);
    Metadata found;
    for (const std::string &key : keys)
        if (const char *value = csm_tensors_metadata(file.get(), key.c_str()))
            found[key] = value;
    return found;
}

} // namespace

void bind_tensors(nb::module_ &m)
{
    using namespace nb::literals;
    m.def("write_tensors", &write_tensors, "path"_a, "arrays"_a, "metadata"_a,
          "Write a safetensors file of int32 and float32 arrays, whole or not at all.");
    m.def("read_tensors", &read_tensors, "path"_a,
          "The int32 and float32 tensors of a safetensors file, by name.");
    m.def("read_metadata", &read_metadata, "path"_a, "keys"_a,
          "The strings of the file's metadata under these keys, where it has them.");
}
