#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 (CPU): mx.random.randint draws a float32 in [low, high) and cuts it to a whole number. Beyond 2^24 that
# float has no room for the last bits, so that most numbers of the range never come, and some come twice as often.
# The documentation calls the draws uniform. Bounds that do not fit the dtype are no error either.
#
# Seen here, of 100,000 draws: from [16777216, 16777226) only the even numbers and the last, the first and the last half
# as often as the others; from [100000000, 100000010) two numbers; from [2^40, 2^40 + 10) as int64 one; from [0, 2^62)
# multiples of 2^30 alone; from [0, 1000) as int8 only 0.
#
# Who draws seeds, ids or places in a corpus with it draws fewer than it seems: mx.random.bits is not in Python, so use
# numpy's Generator.integers.
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


def drawn(low, high, dtype):
    key = mx.random.key(0)
    return np.array(mx.random.randint(low, high, (100000,), dtype=dtype, key=key))


print("mlx", importlib.metadata.version("mlx"))
seen = {}
for low, dtype in (16777216, mx.int32), (100000000, mx.int32), (2**40, mx.int64):
    values, counts = np.unique(drawn(low, low + 10, dtype), return_counts=True)
    seen[low] = (values - low).tolist()
    print(f"[{low}, {low} + 10): low + {seen[low]}, {counts.tolist()} times")
step = int(np.bitwise_or.reduce(drawn(0, 2**62, mx.int64)))
step &= -step
print(f"[0, 2^62) as int64: multiples of 2^{step.bit_length() - 1}")
small = np.unique(drawn(0, 1000, mx.int8)).tolist()
print("[0, 1000) as int8:", small)
sys.exit(not (seen[16777216] == [0, 2, 4, 6, 8, 9] and len(seen[100000000]) == 2 and len(seen[2**40]) == 1
              and step > 2**20 and small == [0]))
PY
