#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg 9.0.2 (imageio-ffmpeg 0.8.1): anoisesrc's blue and violet noise, which by the colours' definition rise by 3
# and by 6 dB an octave, are white but for the highest octaves, and rise by 11 and 23 dB in the last one. White and
# pink are right, brown is nearly so. The documentation names the colours, and no other spectrum.
#
# Seen here: steps from octave to octave of a minute at 48 kHz, from 200 to 400 Hz on: blue 0.0 0.1 0.2 0.1 0.0 dB and
# violet 0.0 0.0 0.1 0.1 0.6 dB. From 10 to 20 kHz blue rises by 11.4 dB, violet by 22.9 dB.
#
# A recogniser tested "in blue noise" is tested in white noise with a hiss.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
from scipy import signal

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.splitlines()[0])
RATE, STARTS = 48000, (200, 400, 800, 1600, 3200, 10000)
right = True
for colour, slope in (("white", 0), ("pink", -3), ("brown", -6), ("blue", 3), ("violet", 6)):
    command = [FFMPEG, "-loglevel", "error", "-f", "lavfi", "-i", f"anoisesrc=r={RATE}:d=60:seed=1:c={colour}", "-f",
               "f32le", "-"]
    noise = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
    hertz, power = signal.welch(noise, RATE, nperseg=8192)

    def level(middle):
        return 10 * np.log10(power[(hertz > middle / 1.2) & (hertz < middle * 1.2)].mean())

    steps = [round(float(level(2 * start) - level(start)), 1) for start in STARTS]
    print(f"{colour}: {steps} dB from {STARTS} Hz to the octave above; {slope} would be right")
    if slope > 0:
        right = right and max(np.abs(steps[:4])) < 1 and steps[5] > 10
    else:
        right = right and max(np.abs(np.array(steps[:4]) - slope)) < 1.5
sys.exit(not right)
PY
