#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pydub 0.25.1: effects.speedup counts in whole milliseconds of pieces of 150 ms. Below 1.00667 nothing is to be cut of
# a piece, and the crossfade, one less, is -1 ms: a join with it drops what came before. Above, the speed comes in
# steps (1.01 and 1.012 are 1.00667), and the last piece is never shortened: two seconds at speed 2 are 1.125 s.
#
# Seen here, a minute: at 1.005 it lasts 0.7 s, at 1.006 too, at 1.007 59.6 s.
#
# Who fits speech into a slot meets speeds like these: FFmpeg's rubberband or SoX's tempo keep them.
#
# Needs python3 (below 3.13, for audioop) with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pydub==0.25.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from pydub import AudioSegment, effects

print({name: version(name) for name in ("pydub", "numpy")})
noise = (3000 * np.random.default_rng(0).normal(size=60 * 24000)).astype("<i2").tobytes()
minute = AudioSegment(noise, frame_rate=24000, sample_width=2, channels=1)
lasts = {}
for speed in (1.002, 1.005, 1.006, 1.007, 1.01, 1.012, 1.25):
    lasts[speed] = len(effects.speedup(minute, speed)) / 1000
    print(f"a minute at {speed}: {lasts[speed]:.3f} s, {60 / speed:.3f} expected")
short = len(effects.speedup(minute[:2000], 2.0)) / 1000
print(f"two seconds at 2: {short:.3f} s")
sys.exit(not (max(lasts[1.002], lasts[1.005], lasts[1.006]) < 1 and lasts[1.007] > 59
              and lasts[1.007] == lasts[1.01] == lasts[1.012] and short == 1.125))
PY
