#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 on the CPU: sum, mean, var and std of a float32 array add one number after the other in float32. Each sum
# is rounded to what has been added so far, so that long arrays come out wrong by whole percents, and a sum of ones
# ends at 2^24. NumPy and PyTorch add in pairs and blocks, and are right in the same float32.
#
# Seen here: a minute at 24 kHz of samples of 0.1 has a root mean square of 0.0992. A million numbers of 10,000 with a
# deviation of 0.01: mean 10,130.8, deviation 131.2. The mean of 30,000,000 ones is 0.56.
#
# Sum rows of some thousands first, or measure in NumPy.
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
minute = np.full(60 * 24000, 0.1, dtype=np.float32)
rms = [float(x) for x in (mx.sqrt(mx.mean(mx.array(minute) ** 2)).item(), np.sqrt(np.mean(minute**2)))]
print("root mean square of a minute of 0.1: mlx {:.4f}, NumPy {:.4f}".format(*rms))
near = (10000 + 0.01 * np.random.default_rng(0).standard_normal(1000000)).astype(np.float32)
mean = [float(x) for x in (mx.mean(mx.array(near)).item(), near.mean())]
deviation = [float(x) for x in (mx.std(mx.array(near)).item(), near.std())]
print("a million of 10,000 and 0.01: mean by mlx {:.1f}, NumPy {:.1f}".format(*mean))
print("deviation by mlx {:.2f}, NumPy {:.2f}".format(*deviation))
ones = [float(x) for x in (mx.mean(mx.ones((30000000,))).item(), np.ones(30000000, np.float32).mean())]
print("mean of 30,000,000 ones: mlx {:.2f}, NumPy {:.2f}".format(*ones))
sys.exit(not (rms[0] < 0.0995 and abs(rms[1] - 0.1) < 1e-6 and mean[0] > 10100 and abs(mean[1] - 10000) < 0.01 and
              deviation[0] > 100 and abs(deviation[1] - 0.01) < 1e-3 and ones[0] < 0.6 and ones[1] == 1))
PY
