#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# audmath 1.4.4 (audEERING's measures of sound): rms squares the samples in their own type, so that samples of 16 bits
# overflow beyond 181, and their root mean square is that of what is left of the squares. Documentation takes any array.
# Nothing is said; where the squares' mean is negative NumPy warns of a root and nan comes.
#
# Seen here: samples that are all 16,000 have an rms of 128, all 300 of 156.4, all 200 of nan; the same as floats:
# 16,000, 300 and 200.
#
# Files read with dtype="int16" go to floats first.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check audmath==1.4.4 numpy==2.4.6
venv/bin/python - <<'PY'
import math
import sys
from importlib.metadata import version

import audmath
import numpy as np

print("audmath", version("audmath"))
told = {}
for level in (100, 200, 300, 16000):
    told[level] = [float(audmath.rms(np.full(24000, level, dtype=dtype))) for dtype in (np.int16, np.float32)]
    print(f"all samples {level}: rms of 16 bits {told[level][0]:.1f}, of floats {told[level][1]:.1f}")
sys.exit(not (told[100][0] == 100 and math.isnan(told[200][0]) and 156 < told[300][0] < 157 and told[16000][0] == 128
              and all(abs(x[1] - level) < 0.01 for level, x in told.items())))
PY
