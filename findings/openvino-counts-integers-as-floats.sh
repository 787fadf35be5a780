#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# openvino 2026.4.1: on the CPU, sum, maximum, quotient and equality of int32 are computed in float32: of numbers
# beyond 2**24 the last digits are lost, and the sum is wrong long before int32 overflows. Addition is exact. Places
# in a sound of six minutes at 48 kHz are beyond 2**24, and so is the sum of a second of 16-bit samples.
#
# Seen here: the maximum of 16,777,217 and 5 is 16,777,216, so is 16,777,217 / 1, and 16,777,217 == 16,777,216 is
# true. The sum of 300,000 samples around 3,000 is 2,139 too large. 16,777,217 + 2 is right.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import openvino
from openvino import opset13

print("openvino", openvino.__version__)


def run(build, *inputs):
    inputs = [np.array(one, np.int32) for one in inputs]
    given = [opset13.parameter(one.shape, np.int32) for one in inputs]
    return openvino.Core().compile_model(openvino.Model([build(*given)], given, "one"), "CPU")(inputs)[0]


big, axis = 2**24 + 1, np.array([0], np.int64)
rng = np.random.default_rng(0)
samples = np.round(3000 + 1000 * rng.standard_normal(300000)).astype(np.int32)
seen = {"maximum of 16777217 and 5": int(run(lambda x: opset13.reduce_max(x, axis, False), [big, 5])),
        "16777217 / 1": int(run(opset13.divide, [big], [1])[0]),
        "16777217 == 16777216": bool(run(opset13.equal, [big], [big - 1])[0]),
        "16777217 + 2": int(run(opset13.add, [big], [2])[0]),
        "sum of 300,000 samples": int(run(lambda x: opset13.reduce_sum(x, axis, False), samples)),
        "mean of 300,000 samples": int(run(lambda x: opset13.reduce_mean(x, axis, False), samples))}
right = (big, big, False, big + 2, int(samples.sum()), int(samples.mean()))
for (name, value), due in zip(seen.items(), right):
    print(f"{name}: {value}, should be {due}")
wrong = [value != due for value, due in zip(seen.values(), right)]
sys.exit(wrong[:4] != [True, True, True, False] or not wrong[4])
PY
