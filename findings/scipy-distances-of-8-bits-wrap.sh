#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scipy 1.17.1: distance.euclidean, minkowski, cityblock and chebyshev subtract embeddings of 8 bits in 8 bits, where
# the difference wraps, and answer in float64 without a warning. sqeuclidean and cdist of the same vectors take them to
# floats before and are right, so euclidean is not the root of sqeuclidean.
#
# Seen here: an embedding of 256 numbers in uint8 and one whose numbers are larger by 1 to 3: euclidean says that they
# are 4,063 apart, cdist and sqeuclidean 35. In int8, of deviation 60, random ones come up to a fifth nearer.
#
# Use cdist, or take quantized embeddings to floats.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
import warnings

import numpy as np
import scipy
from scipy.spatial import distance

print("scipy", scipy.__version__, "numpy", np.__version__)
warnings.simplefilter("error")  # none comes
random = np.random.default_rng(0)
one = random.integers(0, 250, 256).astype(np.uint8)
near = one + random.integers(1, 4, 256).astype(np.uint8)
euclidean, root = distance.euclidean(one, near), distance.sqeuclidean(one, near)**0.5
by_cdist = distance.cdist([one], [near])[0, 0]
print(f"uint8: euclidean {euclidean:.0f}, the root of sqeuclidean {root:.0f}, by cdist {by_cdist:.0f}")
city = distance.cityblock(one, near), distance.cdist([one], [near], "cityblock")[0, 0]
print("uint8: cityblock {:.0f}, by cdist {:.0f}".format(*city))
voices = np.clip(random.normal(0, 60, (21, 256)).round(), -127, 127).astype(np.int8)
said = np.array([distance.euclidean(voices[0], x) for x in voices[1:]])
right = distance.cdist(voices[:1], voices[1:])[0]
print(f"int8: of 20 random vectors euclidean is short by up to {np.max(right - said):.0f} of {right.mean():.0f}")
sys.exit(not (euclidean > 10 * by_cdist and abs(root - by_cdist) < 0.01 and city[0] > 10 * city[1] and
              np.max(right - said) > 100))
PY
