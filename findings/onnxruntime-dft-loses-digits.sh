#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# onnxruntime 1.32.0 on the CPU: the operator DFT of a length that is no power of two has an error that grows with the
# length. The inverse with onesided=1 and a dft_length below that of the input is another signal altogether. NumPy in
# floats and ONNX's own reference have neither.
#
# Seen here: noise, the error over the signal (root mean squares): 512 and 8,192 samples less than 0.000001; 480 samples
# 0.00006, 24,000 (a second of speech) 0.0027, 96,000 0.011, where NumPy has 0.00000003. A pure tone of a second leaks
# 2.7 into other bins, NumPy's 0.00007. The inverse of 501 bins to 10 samples is off by 0.42, where the largest is 0.66.
#
# Make frames a power of two long.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print({name: version(name) for name in ("onnxruntime", "onnx", "numpy")})


def transform(x, length, **attributes):
    """What onnxruntime and the reference make of x [1, n, 1 or 2]: two arrays of complex numbers."""
    node = helper.make_node("DFT", ["x", "length", "axis"], ["y"], **attributes)
    graph = helper.make_graph(
        [node], "dft", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
                        helper.make_tensor_value_info("length", TensorProto.INT64, ()),
                        helper.make_tensor_value_info("axis", TensorProto.INT64, ())],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    given = {"x": x, "length": np.array(length), "axis": np.array(1)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    both = (run.run(None, given)[0][0] for run in (session, ReferenceEvaluator(model)))
    return [y[:, 0] + 1j * y[:, 1] if y.shape[1] == 2 else y[:, 0] for y in both]


def error(got, right):
    return float(np.sqrt(np.mean(np.abs(got - right) ** 2) / np.mean(np.abs(right) ** 2)))


errors = {}
for n in (512, 8192, 480, 24000, 96000):
    x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    right = np.fft.fft(x.astype(np.float64))
    errors[n] = [error(y, right) for y in (*transform(x[None, :, None], n), np.fft.fft(x))]
    print("{} samples: onnxruntime's error {:.1e}, the reference's {:.1e}, NumPy's {:.1e}".format(n, *errors[n]))
bins = np.random.default_rng(0).standard_normal((1, 501, 2)).astype(np.float32)
right = np.fft.irfft(bins[0, :, 0] + 1j * bins[0, :, 1], 10)
inverse = [float(np.abs(y - right).max()) for y in transform(bins, 10, inverse=1, onesided=1)]
print("501 bins to 10 samples, the largest {:.2f}: onnxruntime is off by {:.2f}, the reference by {:.1e}".format(
    np.abs(right).max(), *inverse))
sys.exit(not (max(errors[512][0], errors[8192][0]) < 1e-6 and errors[480][0] > 3e-5 and errors[24000][0] > 1e-3 and
              errors[96000][0] > 5e-3 and all(max(e[1:]) < 1e-6 for e in errors.values()) and
              inverse[0] > 0.1 and inverse[1] < 1e-5))
PY
