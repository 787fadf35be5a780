#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg 9.0.2 (imageio-ffmpeg 0.8.1): volumedetect turns floats into 16 bits before it measures, so sound above full
# scale, which MP3, AAC, Opus and Vorbis decode to and speech models put out, is measured clipped: max_volume is never
# above 0 dB, and mean_volume is too low. What is played by "lower by max_volume" still clips. The documentation does
# not say so. astats and ebur128 measure the floats.
#
# Seen here: a tone of peak 1.5 (+3.5 dB, RMS +0.5 dB) is max 0.0 and mean -1.5 dB by volumedetect, one of peak 4.0
# (+12.0 dB, RMS +9.0 dB) max 0.0 and mean -0.5 dB. astats is right for both.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6
venv/bin/python - <<'PY'
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.splitlines()[0])


def measured(samples, name):
    command = [FFMPEG, "-hide_banner", "-f", "f32le", "-ar", "24000", "-ac", "1", "-i", "-", "-af", name, "-f", "null",
               "-"]
    return subprocess.run(command, input=samples.astype("<f4").tobytes(), capture_output=True, text=False,
                          check=True).stderr.decode()


tone = np.sin(2 * np.pi * 997 * np.arange(72000) / 24000)
seen = {}
for level in (0.5, 1.5, 4.0):
    text = measured(level * tone, "volumedetect")
    seen[level] = [float(re.search(key + r": (\S+) dB", text)[1]) for key in ("max_volume", "mean_volume")]
    text = measured(level * tone, "astats")
    seen[level] += [round(float(re.search(key + r" level dB: (\S+)", text)[1]), 1) for key in ("Peak", "RMS")]
    print("tone of peak {}: volumedetect {} and {} dB, astats {} and {} dB".format(level, *seen[level]))
sys.exit(seen != {0.5: [-6.0, -9.0, -6.0, -9.0], 1.5: [0.0, -1.5, 3.5, 0.5], 4.0: [0.0, seen[4.0][1], 12.0, 9.0]})
PY
