#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# opensmile 2.6.0: process_signal() takes floats times 32,768 for its 16 bits and does not limit them. A sample of 1.0,
# full scale, becomes -32,768: the loudest peaks of a recording that was normalized or that clipped are turned over to
# the other side. No message.
#
# Seen here: a buzz of 2 s at 150 Hz, cut off at 1.0 as an overdriven recording is, against the same at 0.9999 of it:
# 1.2 times full scale eGeMAPS' loudness is 4.7 for 3.6 and the harmonics-to-noise ratio 9.2 dB for 10.7 dB, twice full
# scale 5.1 for 4.1 and 8.9 dB for 10.7 dB. In the first, 800 of the 32,000 samples are 1.0.
#
# Multiply by 32767/32768 before.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check opensmile==2.6.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import opensmile

print("opensmile", version("opensmile"))
RATE = 16000
time = np.arange(2 * RATE) / RATE
buzz = sum(np.sin(2 * np.pi * 150 * k * time + k) / k for k in range(1, 20)).astype("float32")
smile = opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02,
                        feature_level=opensmile.FeatureLevel.Functionals)
NAMES = ("loudness_sma3_amean", "shimmerLocaldB_sma3nz_amean", "HNRdBACF_sma3nz_amean",
         "F0semitoneFrom27.5Hz_sma3nz_amean")


def told(sound):
    row = smile.process_signal(sound, RATE).iloc[0]
    return [round(float(row[name]), 2) for name in NAMES]


seen = {}
for gain in (1.2, 2.0):
    cut = np.clip(gain * buzz / np.abs(buzz).max(), -1, 1)
    seen[gain] = told(cut), told(cut * np.float32(0.9999))
    print("{:.1f} times full scale, {} samples of 1.0:".format(gain, int((cut == 1).sum())))
    for name, full, below in zip(NAMES, *seen[gain]):
        print(f"  {name}: {full}, at 0.9999 of it {below}")
sys.exit(not all(full[0] > 1.2 * below[0] for full, below in seen.values()))
PY
