#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# librosa 0.11.0: effects.trim and effects.split document top_db as the threshold "below reference", and the reference
# is the loudest frame. But levels end at 0.00001 (amplitude_to_db's amin), so that digital silence is only -100 dB. Of
# a sound whose loudest frame is below -40 dB, nothing is ever 60 dB lower: its zeros count as sound, and trim and split
# give the whole back. The same sound ten times louder is cut rightly.
#
# Seen here: a second of a tone between two halves of zeros, 24 kHz: with a peak of 0.015 and more 0.47 to 1.56 s are
# left; with 0.01 and less all two seconds, zeros and all.
#
# Bring a sound to one level first.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check librosa==0.11.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import librosa
import numpy as np

print("librosa", librosa.__version__)
RATE, told = 24000, {}
zeros, tone = np.zeros(RATE // 2), np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)
sound = np.concatenate([zeros, tone, zeros]).astype(np.float32)
for peak in (0.5, 0.05, 0.015, 0.01, 0.001):
    kept = librosa.effects.trim(sound * np.float32(peak))[1].tolist()
    told[peak] = (kept, librosa.effects.split(sound * np.float32(peak)).tolist())
    print("a peak of {}: trim keeps samples {}, split {}, of 48,000".format(peak, *told[peak]))
cut = [11264, 37376]
sys.exit(not (all(told[peak] == (cut, [cut]) for peak in (0.5, 0.05, 0.015)) and
              all(told[peak] == ([0, 48000], [[0, 48000]]) for peak in (0.01, 0.001))))
PY
