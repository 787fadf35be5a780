#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ml_dtypes 0.6.0 under NumPy 2.4.6: sum, mean, var and std of an array of its bfloat16 add in bfloat16, one number
# after the other, so that a sum stands still once it is 256 times what comes. NumPy takes the mean of its own float16
# in float32. The float8 types stand still at 16 and 8. And np.sort of an array with a NaN leaves it unsorted, where
# NumPy's own types put the NaN last.
#
# Seen here: 1,000 ones in bfloat16: mean 0.256, sum 256; in float16 1 and 1,000. The deviation of 100,000 normal
# numbers is 0.205; with dtype=np.float32 it is 1.0. np.sort of [2, nan, 1] is [2, nan, 1], in float16 [1, 2, nan].
#
# Weights in bfloat16 that NumPy holds go to float32 before they are measured, or get dtype=np.float32.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check ml_dtypes==0.6.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import ml_dtypes
import numpy as np

print({name: version(name) for name in ("ml_dtypes", "numpy")})
told = {}
for name, dtype in (("bfloat16", ml_dtypes.bfloat16), ("float8_e4m3fn", ml_dtypes.float8_e4m3fn),
                    ("float8_e5m2", ml_dtypes.float8_e5m2), ("float16", np.float16)):
    ones = np.ones(1000, dtype)
    told[name] = (float(ones.mean()), float(ones.sum()),
                  np.sort(np.array([2, np.nan, 1], dtype)).astype(np.float32).tolist())
    print("{}: of 1,000 ones the mean is {:.3f}, the sum {}; [2, nan, 1] sorted {}".format(name, *told[name]))
normal = np.random.default_rng(0).standard_normal(100000).astype(ml_dtypes.bfloat16)
deviations = [float(x) for x in (normal.std(), normal.std(dtype=np.float32))]
print("the deviation of normal numbers in bfloat16: {:.3f}, with dtype=np.float32 {:.3f}".format(*deviations))
sys.exit(not (0.25 < told["bfloat16"][0] < 0.26 and [x[1] for x in told.values()] == [256, 16, 8, 1000] and
              told["float16"][0] == 1 and deviations[0] < 0.3 and abs(deviations[1] - 1) < 0.01 and
              told["bfloat16"][2][0] == 2 and told["float16"][2][:2] == [1, 2]))
PY
