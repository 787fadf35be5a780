#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# onnxruntime 1.32.0 and openvino 2026.4.1: Range of float32 adds its step up, so the error grows with the length.
# ONNX's specification says start + i * delta for each number, and onnx's reference does so. torch.arange and times of
# frames or samples are exported as Range.
#
# Seen here: a minute of sample times at 24 kHz, which ends at 60.00 s, ends at 60.35 s by onnxruntime, at 60.21 s by
# openvino.
#
# Make it of integers, and multiply.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 openvino==2026.4.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from openvino import opset13

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__, "openvino", openvino.__version__)
numbers = [np.array(value, np.float32) for value in (0, 60, 1 / 24000)]
names = ["start", "limit", "delta"]
graph = helper.make_graph([helper.make_node("Range", names, ["times"])], "range",
                          [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in names],
                          [helper.make_tensor_value_info("times", TensorProto.FLOAT, [None])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
given = [opset13.parameter([], np.float32) for _ in names]
compiled = openvino.Core().compile_model(
    openvino.Model([opset13.range(*given, "f32")], given, "range"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
seen = {"onnx's reference": ReferenceEvaluator(model).run(None, dict(zip(names, numbers)))[0],
        "onnxruntime": session.run(None, dict(zip(names, numbers)))[0], "openvino": compiled(numbers)[0]}
off = {}
for name, times in seen.items():
    off[name] = float(times[1439999]) - 1439999 / 24000
    print(f"{name}: sample 1,439,999 is at {times[1439999]:.4f} s, off by {off[name]:+.4f} s")
sys.exit(not (abs(off["onnx's reference"]) < 1e-4 and off["onnxruntime"] > 0.1 and off["openvino"] > 0.1))
PY
