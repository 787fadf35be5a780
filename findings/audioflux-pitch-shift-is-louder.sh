#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# audioflux 0.1.9: PitchShift changes the level with the pitch: what is shifted up becomes louder, what is shifted down
# quieter, by the square root of the ratio. Its documentation tells of the pitch only.
#
# Seen here: a tone of 440 Hz: +12 semitones 3.0 dB louder, +5 1.3 dB, -5 1.3 dB quieter, -12 3.0 dB. The pitch is
# right, and 0 semitones leave the level as it is. TimeStretch keeps the level.
#
# A voice that is shifted for comparison is no longer as loud as the other. Divide by 2**(semitones/24).
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check audioflux==0.1.9 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import audioflux
import numpy as np

print("audioflux", version("audioflux"))
RATE = 32000
tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype("float32")
middle = slice(RATE // 2, RATE)
right, shift = True, audioflux.PitchShift(radix2_exp=11)
for semitones in (-12, -5, 0, 5, 12):
    moved = shift.pitch_shift(tone, n_semitone=semitones, samplate=RATE)
    level = 20 * float(np.log10(moved[middle].std() / tone[middle].std()))
    hertz = float(np.abs(np.fft.rfft(moved * np.hanning(len(moved)))).argmax()) / 2
    print(f"{semitones:+} semitones: {hertz} Hz, {level:+.2f} dB; the square root of the ratio is {semitones / 4:+.2f}")
    right = right and abs(level - semitones / 4) < 0.1 and abs(hertz / (440 * 2**(semitones / 12)) - 1) < 0.005
stretched = audioflux.TimeStretch(radix2_exp=11).time_stretch(tone, rate=0.5)
kept = 20 * float(np.log10(stretched[RATE:2 * RATE].std() / tone[middle].std()))
print(f"TimeStretch to twice the length: {kept:+.2f} dB")
sys.exit(not (right and abs(kept) < 0.1))
PY
