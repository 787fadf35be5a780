#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg's filter adelay (ffmpeg 9.0.2 of imageio-ffmpeg 0.8.1; 5.1.9 too): "to delay in seconds, append 's' to number",
# says its documentation. A whole number with s is taken as seconds; a number with a point and s is taken as
# milliseconds, without a word.
#
# Seen here: adelay=1s puts 1,000 ms of silence before the sound, adelay=1.5s 1.5 ms, adelay=0.5s 0.5 ms.
#
# Turns of a conversation laid out by such delays lie on top of each other. Give milliseconds (adelay=500) or samples
# (adelay=12000S).
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

print("ffmpeg", imageio_ffmpeg.get_ffmpeg_version())
RATE = 24000
sound = np.full(RATE, 0.5, "<f4")
seen = {}
for delay in ("500", "12000S", "1s", "2s", "1.5s", "0.5s", "1.0s"):
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "1",
                           "-i", "-", "-af", "adelay=" + delay, "-f", "f32le", "-"], check=True, input=sound.tobytes(),
                          capture_output=True)
    samples = np.frombuffer(told.stdout, "<f4")
    seen[delay] = 1000 * int(np.flatnonzero(samples)[0]) / RATE
    print(f"adelay={delay}: {seen[delay]:.1f} ms; said: {told.stderr.decode().strip() or 'nothing'}")
sys.exit(seen != {"500": 500, "12000S": 500, "1s": 1000, "2s": 2000, "1.5s": 1.5, "0.5s": 0.5, "1.0s": 1})
PY
