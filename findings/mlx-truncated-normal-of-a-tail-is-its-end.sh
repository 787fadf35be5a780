#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 (CPU): mx.random.truncated_normal(low, high) draws in float32 between erf(low / sqrt 2) and
# erf(high / sqrt 2). Far from 0 both are 1 (or -1) or next to it: from 4 on the draws fall on few numbers, too far out,
# and from 6 on every draw is the same end of the range. scipy.stats.truncnorm draws right from any range.
#
# Seen here, 100,000 draws: from [5, 8) 11 numbers with a mean of 5.29, by scipy and the formula 5.19; from [6, 9) all
# are 9, the mean by the formula is 6.16.
#
# Tails are drawn by scipy, or by an exponential with rejection.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'mlx[cpu]==0.32.4' numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from scipy.stats import truncnorm

print({name: version(name) for name in ("mlx", "scipy", "numpy")})
mx.set_default_device(mx.cpu)
seen = {}
for low, high in ((-2, 2), (4, 7), (5, 8), (6, 9), (-9, -6)):
    drawn = np.array(mx.random.truncated_normal(low, high, shape=(100000,), key=mx.random.key(0)))
    seen[low] = len(np.unique(drawn)), float(drawn.mean())
    by_scipy = truncnorm.rvs(low, high, size=100000, random_state=0)
    print(f"[{low}, {high}): {seen[low][0]} numbers, mean {seen[low][1]:.3f}; scipy {len(np.unique(by_scipy))}, "
          f"{by_scipy.mean():.3f}; by the formula {truncnorm.mean(low, high):.3f}")
sys.exit(not (seen[-2][0] > 90000 and seen[5][0] < 20 and seen[5][1] > 5.25
              and seen[6] == (1, 9.0) and seen[-9][0] == 1))
PY
