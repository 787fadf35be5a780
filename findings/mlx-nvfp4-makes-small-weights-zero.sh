#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4: mx.quantize(mode="nvfp4"), and with it mlx.nn.quantize and QuantizedLinear, has no scale for the tensor
# unless global_scale is given, and the layers of mlx.nn give none. A group's scale is a number of 8 bits (E4M3) that
# begins at 0.002, so a group whose largest weight is below 0.005 becomes zeros, and one above 2,688 is cut. NVIDIA's
# recipe has a scale in float32 for each tensor. mxfp4, of as many bits, has no such bound.
#
# Seen here: normal weights with a deviation of 0.002: 95 % become 0 and the error is 0.95 of the weights; of 0.001 all
# become 0. mxfp4: 0.12 of the weights, as at any size. With global_scale = max |w| nvfp4 has 0.09. A layer whose
# weights are all 0.001 answers 0.
#
# Who quantizes with nvfp4 looks at the smallest layer first. csm quantize gives mx.quantize's bits, these too.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'mlx[cpu]==0.32.4' numpy==2.4.6
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import mlx.core as mx
import mlx.nn as nn

mx.set_default_device(mx.cpu)
print("mlx", importlib.metadata.version("mlx"))


def lost(weights, mode, **scale):
    """The error over the weights (root mean squares), and which part of the weights became 0."""
    back = mx.dequantize(*mx.quantize(weights, mode=mode, **scale), mode=mode, **scale).astype(mx.float32)
    error = mx.sqrt(mx.mean((back - weights) ** 2) / mx.mean(weights**2)).item()
    return round(error, 3), round(mx.mean(back == 0).item(), 3)


told = {}
for deviation in (0.1, 0.002, 0.001):
    mx.random.seed(0)
    weights = mx.random.normal((64, 1024)) * deviation
    told[deviation] = (lost(weights, "nvfp4"), lost(weights, "nvfp4", global_scale=mx.abs(weights).max()),
                       lost(weights, "mxfp4"))
    print("weights of {}: (error, zeros) nvfp4 {}, with global_scale {}, mxfp4 {}".format(deviation, *told[deviation]))
layer = nn.Linear(1024, 64, bias=False)
layer.weight = mx.full((64, 1024), 0.001)
small = nn.QuantizedLinear.from_linear(layer, mode="nvfp4")
right, answer = (x(mx.ones((1, 1024)))[0, 0].item() for x in (layer, small))
print(f"a layer of weights of 0.001 answers {right:.3f}, as nvfp4 {answer:.3f}")
sys.exit(not (told[0.1][0][0] < 0.12 and told[0.002][0][0] > 0.9 and told[0.002][0][1] > 0.9 and
              told[0.001][0][1] == 1 and all(x[1][0] < 0.12 and x[2][0] < 0.15 for x in told.values()) and
              abs(right - 1.024) < 1e-3 and answer == 0))
PY
