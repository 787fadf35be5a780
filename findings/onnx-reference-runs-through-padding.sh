#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# onnx 1.23.2: ReferenceEvaluator, which is to say what a model means, takes sequence_lens of LSTM and GRU and runs
# through the padding all the same: outputs behind a sequence's end are not zero, Y_h is the state behind the padding,
# and a reverse run begins in it. onnxruntime does what the specification says. Nothing is said.
#
# Seen here: two sequences of 5 and 2 steps in one batch. The shorter one's Y_h in the reference is that of all 5 steps;
# in onnxruntime it is, to the last digits, that of its 2 steps alone.
#
# Voice detectors and text normalisers run so over batches of unequal length: a test against the reference should take
# them one by one.
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

print({name: version(name) for name in ("onnxruntime", "onnx")})
random = np.random.default_rng(0)
x = random.standard_normal((5, 2, 3)).astype(np.float32)  # steps, sequences, features


def last(kind, gates, direction, x, lengths):
    """Y_h [sequences, 4] by onnxruntime and by the reference."""
    weights = np.random.default_rng(1)
    w, r = (weights.standard_normal((1, gates * 4, n)).astype(np.float32) for n in (3, 4))
    node = helper.make_node(kind, ["x", "w", "r", "", "lengths"], ["", "h"], hidden_size=4, direction=direction)
    given = {"x": x, "w": w, "r": r, "lengths": np.array(lengths, dtype=np.int32)}
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
              for name, value in given.items()]
    graph = helper.make_graph([node], "rnn", inputs, [helper.make_tensor_value_info("h", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [run.run(None, given)[0][0] for run in (session, ReferenceEvaluator(model))]


def equal(a, b):
    return bool(np.abs(a - b).max() < 1e-6)


as_seen = []
for kind, gates in (("LSTM", 4), ("GRU", 3)):
    for direction in ("forward", "reverse"):
        runtime, reference = last(kind, gates, direction, x, [5, 2])
        alone = last(kind, gates, direction, x[:2, 1:], [2])
        through = last(kind, gates, direction, x, [5, 5])
        told = (equal(runtime[1], alone[0][0]), equal(reference[1], alone[1][0]), equal(reference[1], through[1][1]))
        print(f"{kind}, {direction}: Y_h is that of the 2 steps: onnxruntime {told[0]}, reference {told[1]}; "
              f"the reference's is that of all 5: {told[2]}")
        as_seen.append(told == (True, False, True) and equal(alone[0], alone[1]))
sys.exit(not all(as_seen))
PY
