#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg's filters adeclip and adeclick (ffmpeg 9.0.2 of imageio-ffmpeg 0.8.1; 5.1.9 too) fade the first 41 ms of each
# sound in, clipped or not, with clicks or without. They add overlapping windows up, and at the beginning some of
# them are missing. The end is whole, and so is all with the option method=save. Their documentation says that
# they change samples that are clipped or clicks.
#
# Seen here, a tone of 0.5: its first 10 ms are 16.9 dB too quiet, those from 20 to 30 ms 4.3 dB; what follows is the
# tone. With method=save adeclip changes nothing, adeclick five samples at the very beginning.
#
# Speech is often cut close to its first sound, a "p" or "t" of 20 ms. Take method=save, or put silence before.
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
tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype("<f4")
seen = {}
for name in ("adeclip", "adeclick", "adeclip=method=save", "adeclick=method=save"):
    out = np.frombuffer(subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-", "-af",
         name, "-f", "f32le", "-"], check=True, input=tone.tobytes(), stdout=subprocess.PIPE).stdout, "<f4")
    changed = np.flatnonzero(np.abs(out - tone) > 1e-4)
    quieter = [round(float(20 * np.log10(tone[at:at + 240].std() / out[at:at + 240].std())), 1) for at in (0, 480)]
    seen[name] = len(changed) and 1000 * int(changed[-1]) / RATE, quieter
    print(f"{name}: changes {len(changed)} of {len(out)} samples, the last at {seen[name][0]:.1f} ms; the first 10 ms "
          f"are {quieter[0]} dB quieter, those from 20 ms on {quieter[1]}")
faded, whole = [seen[x] for x in ("adeclip", "adeclick")], [seen[x + "=method=save"] for x in ("adeclip", "adeclick")]
sys.exit(not (all(38 < last < 42 and quieter[0] > 15 and quieter[1] > 4 for last, quieter in faded) and
              all(last < 1 and quieter == [0, 0] for last, quieter in whole)))
PY
