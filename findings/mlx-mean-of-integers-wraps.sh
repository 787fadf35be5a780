#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4: mx.mean of integers answers in float32, but adds them up in 32 bits before, and the sum wraps without a
# word beyond 2^31. mx.var and mx.std begin with that mean. mx.linalg.norm squares integers in their own type, so 16
# bits wrap already beyond 181. numpy takes the same numbers as float64.
#
# Seen here: the mean of a minute at 24 kHz of 16-bit samples around 3,000 is 17. The mean of a second of 24-bit samples
# around 838,861 is -55,924, and their deviation 1,731,946 instead of 1,482,910. The mean of 40,000 token ids 128,000
# is 20,626. The norm of a hundred samples of 1,000 is 1,302 instead of 10,000.
#
# Take integers to float32 before the mean (and long ones in pieces: see mlx-sum-of-a-minute-is-off).
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
print("mlx", importlib.metadata.version("mlx"))
sine = np.sin(2 * np.pi * 220 * np.arange(24000) / 24000)
cases = {
    "a minute of 16 bits around 3,000": np.tile(8192 * sine + 3000, 60).astype(np.int16),
    "a second of 24 bits around 838,861": ((0.25 * sine + 0.1) * (2**23 - 1)).astype(np.int32),
    "40,000 token ids 128,000": np.full(40000, 128000, np.int32),
}
wrong = []
for name, numbers in cases.items():
    mean, deviation = mx.mean(mx.array(numbers)).item(), mx.std(mx.array(numbers)).item()
    print(f"{name}: mean {mean:.1f} (numpy {numbers.mean():.1f}), "
          f"deviation {deviation:.1f} (numpy {numbers.std():.1f})")
    wrong.append(abs(mean - numbers.mean()) > 0.5 * abs(numbers.mean()))
few = cases["a minute of 16 bits around 3,000"][:24000]
short = mx.mean(mx.array(few)).item()
print(f"a second of 16 bits around 3,000: mean {short:.1f} (numpy {few.mean():.1f})")
norm = mx.linalg.norm(mx.array(np.full(100, 1000, np.int16))).item()
print(f"the norm of a hundred samples of 1,000 in 16 bits: {norm:.0f} (should be 10000)")
sys.exit(not (all(wrong) and abs(short - few.mean()) < 1 and norm < 5000))
PY
