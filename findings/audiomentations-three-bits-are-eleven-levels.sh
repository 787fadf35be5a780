#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# audiomentations 0.43.1: BitCrush of B bits, "the number of bits that can be used for representing each audio sample",
# rounds to steps of 1 / (2^(B-1) + 1), so that a full-scale sound has 2^B + 3 levels. B bits hold 2^B. The levels do
# not lie on those of B-bit PCM either: of 8 bits no level but -1, 0 and 1 is one of k / 128.
#
# Seen here, a ramp from -1 to 1: 11 levels of 3 bits, 35 of 5, 259 of 8, 65,539 of 16.
#
# Who wants training data as a codec of B bits leaves it rounds to k / 2^(B-1) and clips at the upper end.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check audiomentations==0.43.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from audiomentations import BitCrush

print({name: version(name) for name in ("audiomentations", "numpy")})
ramp = np.linspace(-1, 1, 1_000_001, dtype=np.float32)
as_seen = []
for bits in (3, 5, 8, 16):
    levels = np.unique(BitCrush(min_bit_depth=bits, max_bit_depth=bits, p=1)(ramp, 24000))
    of_pcm = [level for level in levels.tolist() if (level * 2 ** (bits - 1)).is_integer()]
    print(f"{bits} bits: {len(levels)} levels of {2**bits}, {len(of_pcm)} of them levels of PCM")
    as_seen.append(len(levels) == 2**bits + 3 and (bits == 16 or of_pcm == [-1, 0, 1]))
sys.exit(not all(as_seen))
PY
