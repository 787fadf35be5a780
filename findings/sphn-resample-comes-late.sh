#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sphn 0.2.1 (kyutai's package, by which Moshi reads sound): sphn.resample, and sphn.read with sample_rate=, return a
# sound that begins 11 to 32 ms late and is longer than the ratio says. The filter's delay is not taken off, and the
# last block is filled up with zeros. No word of it in the docstrings. soxr gives the click at its place and the right
# count. Mimi's frames are 80 ms, so all codes of a context read like this are others.
#
# Seen here: a click at 0.5 s of two seconds. 44,100 to 24,000 Hz: 12 ms late, 160 samples more; 48,000: 11 ms, 128
# more; 16,000: 32 ms, 1,152 more.
#
# Contexts are resampled by csm itself, by soxr or by librosa.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check sphn==0.2.1 soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import soxr
import sphn

print({name: version(name) for name in ("sphn", "soxr")})
late = []
for rate in (44100, 48000, 16000):
    click = np.zeros(2 * rate, dtype="float32")
    click[rate // 2] = 1
    by_sphn, by_soxr = sphn.resample(click, rate, 24000).ravel(), soxr.resample(click, rate, 24000)
    where = [float(np.argmax(np.abs(y)) / 24 - 500) for y in (by_sphn, by_soxr)]
    late.append((where[0] > 10, len(by_sphn) > 48000, abs(where[1]) < 0.1, len(by_soxr) == 48000))
    print(f"{rate} to 24000 Hz: sphn {len(by_sphn)} samples, {where[0]:.1f} ms late; soxr {len(by_soxr)}, {where[1]:.1f}")
sys.exit(0 if all(map(all, late)) else 1)
PY
