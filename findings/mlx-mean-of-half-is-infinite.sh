#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 (CPU): mx.mean of float16 is the sum, rounded to float16, over the number: beyond 65,504 the sum is
# infinite, whatever the mean. So the power (mean of squares) of a minute of speech at 24 kHz in half precision is inf.
# NumPy gives the mean, since it sums in float32. mx.cumsum of bfloat16 adds in bfloat16 and stands still at 256.
#
# Seen here: the mean of 70,000 ones in float16 is inf, NumPy's 1.0; the last of mx.cumsum of 3,000 ones in bfloat16 is
# 256.
#
# Who measures sound or probabilities in half precision takes them to float32 first.
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
ones = mx.ones((70000,), dtype=mx.float16)
mean, right = mx.mean(ones).item(), float(np.mean(np.array(ones)))
last = mx.cumsum(mx.ones((3000,), dtype=mx.bfloat16))[-1].item()
print("mlx", importlib.metadata.version("mlx"), "numpy", np.__version__)
print(f"mean of 70,000 ones in float16: mx.mean {mean}, numpy.mean {right}")
print(f"the last of cumsum of 3,000 ones in bfloat16: {last}")
sys.exit(not (mean == float("inf") and right == 1.0 and last == 256.0))
PY
