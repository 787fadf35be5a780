/* SPDX-License-Identifier: Apache-2.0
 *
 * module.cpp - csm._csm: a thin layer over include/csm. Shapes and defaults are
 * the Python package's business; here arguments are checked and handed on, and
 * the interpreter's lock is released while the library works. */
#include "module.h"

#include <string>

namespace {
PyObject *engine_error; /* csm.EngineError, made when the module is */
}

void raise(csm_status status, const csm_error &err)
{
    switch (status) {
    case CSM_BAD_ARG:
    case CSM_BAD_LOGITS:
    case CSM_BAD_FORMAT:
        throw nb::value_error(err.text);
    case CSM_BAD_FILE:
        PyErr_SetString(PyExc_OSError, err.text);
        throw nb::python_error();
    case CSM_NO_MEMORY:
        PyErr_SetString(PyExc_MemoryError, err.text);
        throw nb::python_error();
    case CSM_OK:
    case CSM_ENGINE:
    case CSM_NO_ENGINE:
    case CSM_CANCELLED:
        break;
    }
    PyErr_SetString(engine_error, err.text);
    throw nb::python_error();
}

NB_MODULE(_csm, m)
{
    m.doc() = "The C library under the csm package.";
    m.attr("__version__") = csm_version();
    engine_error = PyErr_NewException("csm.EngineError", PyExc_RuntimeError, nullptr);
    m.attr("EngineError") = nb::handle(engine_error);
    bind_tensors(m);
    bind_sampling(m);
    bind_model(m);
    bind_hub(m);
    bind_mark(m);
    bind_credentials(m);
    bind_speech(m);
}
