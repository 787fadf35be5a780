#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# onnx 1.23.2: the operator Bernoulli draws 1 with the probability that its input says. The function by which the same
# specification spells it out for runtimes (its function body) is RandomUniformLike > input, which draws 1 with the rest
# of the probability. onnxruntime 1.32.0 has no Bernoulli of its own and takes that body. ONNX's ReferenceEvaluator
# draws rightly.
#
# Seen here: 100,000 draws with 0.3: onnxruntime 0.7, the reference 0.3. Certain ones become zeros and zeros ones.
#
# A model that is exported with a mask or a dropout as Bernoulli keeps what it should drop. Compare RandomUniformLike
# with Less in the model itself.
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
from onnx import FunctionProto, TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator

print({name: version(name) for name in ("onnxruntime", "onnx")})
node = helper.make_node("Bernoulli", ["p"], ["drawn"], seed=1.0)
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("p", "drawn")]
model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]),
                          opset_imports=[helper.make_opsetid("", 15)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
told = {}
for probability in (0.0, 0.3, 1.0):
    given = {"p": np.full(100000, probability, dtype=np.float32)}
    told[probability] = [float(run.run(None, given)[0].mean()) for run in (session, ReferenceEvaluator(model))]
    print("probability {}: ones by onnxruntime {:.3f}, by the reference {:.3f}".format(probability, *told[probability]))
body, floats = FunctionProto(), helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
schema = defs.get_schema("Bernoulli", 15)
body.ParseFromString(schema.get_context_dependent_function(node.SerializeToString(), [floats.SerializeToString()]))
steps = [x.op_type for x in body.node]
print("the function body in onnx:", steps)
sys.exit(not (told[0.0] == [1, 0] and told[1.0] == [0, 1] and abs(told[0.3][0] - 0.7) < 0.01 and
              abs(told[0.3][1] - 0.3) < 0.01 and "Greater" in steps))
PY
