#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 on the CPU: mx.arange adds its step again and again in the type of the result, so that the rounding of each
# sum stays in all numbers behind it. Documentation names NumPy's convention, and NumPy makes start + i * step, as
# torch.arange and mx.linspace do.
#
# Seen here: the times of a minute at 24 kHz, mx.arange(0, 60, 1 / 24000), end 0.35 s off; NumPy's in float32 are
# at most 0.000004 s off, mx.linspace's too. mx.arange(0, 3000) in float16 stands still at 2,048, in bfloat16 at 256,
# where the nearest numbers are 3,000 and 2,992. mx.arange(0, 20000000) in float32 stands still at 2^24.
#
# Who needs times or positions makes whole numbers and multiplies them; csm's positions are integers.
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
import numpy as np

mx.set_default_device(mx.cpu)
print("mlx", importlib.metadata.version("mlx"), "numpy", np.__version__)
exact = np.arange(60 * 24000) / 24000
by_mlx, by_numpy = np.array(mx.arange(0, 60, 1 / 24000)), np.arange(0, 60, 1 / 24000, dtype=np.float32)
by_linspace = np.array(mx.linspace(0, 60, 60 * 24000 + 1))[:-1]
off = {name: float(np.abs(x - exact).max()) for name, x in (("mx.arange", by_mlx), ("numpy.arange", by_numpy),
                                                           ("mx.linspace", by_linspace))}
print("times of a minute at 24 kHz, furthest off in seconds:", off)
half, brain = (mx.arange(0, 3000, dtype=t)[-1].item() for t in (mx.float16, mx.bfloat16))
last = mx.arange(0, 20000000, dtype=mx.float32)[-1].item()
print(f"the last of 3,000: float16 {half}, bfloat16 {brain}; of 20,000,000 in float32: {last}")
sys.exit(not (len(by_mlx) == len(exact) and off["mx.arange"] > 0.3 and off["mx.linspace"] < 1e-5 and
              off["numpy.arange"] < 1e-2 and (half, brain, last) == (2048, 256, 16777216)))
PY
