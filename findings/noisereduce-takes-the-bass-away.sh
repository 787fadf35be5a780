#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# noisereduce 3.0.3: reduce_noise(stationary=True) makes the low end of every sound quieter, also with
# prop_decrease=0.0, which its documentation calls reducing by 0 %. The mask is smoothed over 500 Hz after the share
# of prop_decrease is taken, and what lies below 0 Hz (and above half the rate) counts as noise in that smoothing.
# stationary=False smooths first and leaves the sound alone.
#
# Seen here, 16 kHz, prop_decrease=0.0: a tone of 60 Hz comes back 2.8 dB quieter, 100 Hz 1.7 dB, 150 Hz 0.7 dB,
# 7,900 Hz 1.7 dB, from 300 Hz on nothing is lost; by stationary=False nothing at any of them. At 24 kHz 100 Hz lose
# 1.5 dB.
#
# A deep voice loses its fundamental, however little is to be reduced. Give freq_mask_smooth_hz=None and
# time_mask_smooth_ms=None, or stationary=False.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check noisereduce==3.0.3 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import noisereduce
import numpy as np

print("noisereduce", version("noisereduce"))
RATE = 16000


def change(tone, rate, **how):
    kept = noisereduce.reduce_noise(tone, rate, prop_decrease=0.0, **how)
    middle = slice(rate, 2 * rate)
    return round(20 * float(np.log10(np.std(kept[middle]) / np.std(tone[middle]))), 2)


lost = {}
for hertz in (30, 60, 100, 150, 200, 300, 1000, 7900):
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(3 * RATE) / RATE)
    lost[hertz] = (change(tone, RATE, stationary=True), change(tone, RATE, stationary=False),
                   change(tone, RATE, stationary=True, freq_mask_smooth_hz=None, time_mask_smooth_ms=None))
    print("{} Hz, nothing to be reduced: {} dB stationary, {} dB non-stationary, {} dB without smoothing".format(
        hertz, *lost[hertz]))
low = change(0.3 * np.sin(2 * np.pi * 100 * np.arange(72000) / 24000), 24000, stationary=True)
print("100 Hz at 24 kHz:", low, "dB")
sys.exit(not (lost[60][0] < -2 and lost[100][0] < -1 and lost[7900][0] < -1 and abs(lost[1000][0]) < 0.01 and
              low < -1 and all(abs(x) < 0.01 for _, *others in lost.values() for x in others)))
PY
