#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scipy 1.17.1: filters that run forwards and backwards (signal.filtfilt, sosfiltfilt, and decimate, which uses them)
# extend the sound at both ends by its mirror image (2 * edge - x) in the numbers' own type. 16-bit samples above half
# of full scale wrap there, and the filter rings into the sound with them. The result is float64, and the
# documentation says nothing of integers.
#
# Seen here: a tone that begins at 28,000, as int16 and as floats of the same numbers: filtfilt and sosfiltfilt with a
# low-pass of 3.4 kHz differ by up to 4,942, decimate(x, 3) by 4,071, within the first and last samples. A tone that
# begins at 8,000 comes out equal.
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
RATE = 24000
wave = np.cos(2 * np.pi * 500 * np.arange(RATE) / RATE)
sections = signal.butter(4, 3400, fs=RATE, output="sos")
b, a = signal.butter(4, 3400, fs=RATE)
right = True
for name, run in (("decimate", lambda x: signal.decimate(x, 3)), ("filtfilt", lambda x: signal.filtfilt(b, a, x)),
                  ("sosfiltfilt", lambda x: signal.sosfiltfilt(sections, x))):
    for level in (28000, 8000):
        sound = np.round(level * wave).astype(np.int16)
        whole, real = run(sound), run(sound.astype(np.float64))
        off = np.abs(whole - real)
        print(f"{name}, samples to {level}: {whole.dtype}, off by {off.max():.0f}, by more than 100 in "
              f"{(off > 100).sum()} of {len(off)}")
        right = right and (off.max() > 900 if level == 28000 else off.max() == 0)
sys.exit(not right)
PY
