#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scipy 1.17.1: signal.correlate of 16-bit samples answers in 16 bits and wraps, so the delay that it is asked for is
# another one. Which of its two methods is used depends on the lengths, and both wrap. The documentation gives finding
# a delay as its example, and says nothing of the type of the answer. fftconvolve and oaconvolve of the same samples
# answer in floats, rightly.
#
# Seen here: a second of noise of level 3,000 behind 300 samples of silence: correlate finds the delay 300 of floats,
# and -23,151 of 16 bits. fftconvolve finds 300. NumPy's "invalid value encountered in cast" is all that is said, and
# by the FFT only.
#
# Convert to float first.
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

import numpy as np
import scipy
from scipy import signal

print("scipy", scipy.__version__)
sound = np.round(3000 * np.random.default_rng(0).standard_normal(24000)).astype(np.int16)
late = np.concatenate([np.zeros(300, np.int16), sound])
lags = signal.correlation_lags(len(late), len(sound))


def delays(make, method):
    a, b = make(late), make(sound)
    return int(lags[signal.correlate(a, b, method=method).argmax()])


seen = {}
for method in ("auto", "direct"):
    seen[method] = delays(np.float64, method), delays(np.int16, method)
    print(f"correlate, {method}: delay {seen[method][0]} of floats, {seen[method][1]} of 16 bits")
convolved = int(lags[signal.fftconvolve(late, sound[::-1]).argmax()])
print("fftconvolve: delay", convolved, "of 16 bits")
sys.exit(not (all(floats == 300 and abs(short - 300) > 100 for floats, short in seen.values()) and convolved == 300))
PY
