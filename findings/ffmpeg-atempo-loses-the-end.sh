#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg 9.0.2 (imageio-ffmpeg 0.8.1): atempo, which plays faster or slower, loses the end of what is slowed down, and
# all of a sound shorter than its window (22 ms at 24 kHz). What it makes is shorter than it should be. Its
# documentation tells of the tempo only.
#
# Seen here: at tempo 0.5 a sound of 2 s is 19 ms too short at 24 kHz, 39 ms at 16 kHz, and as much of the end is
# missing: of a tone over the last 50 ms, 46 and 39 ms are heard. 21 ms of sound become nothing.
#
# Put 50 ms of silence behind what is slowed down, and cut the result.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6
venv/bin/python - <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.splitlines()[0])


def slowed(samples, rate, tempo):
    """What atempo makes of a sound of float32."""
    command = [FFMPEG, "-loglevel", "error", "-f", "f32le", "-ar", str(rate), "-ac", "1", "-i", "-", "-af",
               f"atempo={tempo}", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, input=samples.astype("<f4").tobytes(), capture_output=True,
                                        check=True).stdout, "<f4")


right = True
for rate in (24000, 16000):
    for tempo in (0.5, 0.75):
        # Two seconds of a low tone, the last 50 ms a high one.
        hertz = np.where(np.arange(2 * rate) < 1.95 * rate, 220, 3000)
        made = slowed(0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / rate), rate, tempo)
        high = np.convolve(np.diff(made)**2, np.ones(100) / 100, "valid") > 0.01
        heard = 1000 * tempo * (len(high) - int(high.argmax())) / rate
        missing = 1000 * (2 / tempo - len(made) / rate)
        print(f"{rate} Hz, tempo {tempo}: {missing:.0f} ms too short; of the last 50 ms, {heard:.0f} ms are heard")
        right = right and missing > 5 and heard < 50
short = len(slowed(0.3 * np.sin(np.arange(500)), 24000, 0.5))
print("21 ms of 24 kHz:", short, "samples, where 1000 are due")
sys.exit(not (right and short == 0))
PY
