#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg's filter apsnr (ffmpeg 9.0.2 of imageio-ffmpeg 0.8.1): the peak signal-to-noise ratio that it measures between
# two sounds rises as the difference grows, and is more than a hundred decibels too high. Half the level has the best
# figure. asdr beside it is right.
#
# Seen here, two sounds of floats: noise 40 dB below the sound has 163.6 dB where 60.0 is right; noise 20 dB below 168.2
# (40.0 is right); a copy at half the level 171.5 (26.0).
#
# Codecs of speech are compared by such figures: compute 10 log10(1 / mean((a - b)^2)) oneself, or take asdr.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import soundfile

print("ffmpeg", imageio_ffmpeg.get_ffmpeg_version())
draw = np.random.default_rng(0)
sound = 0.1 * draw.standard_normal(72000).clip(-4, 4)
noise = 0.001 * draw.standard_normal(72000)


def measured(name, other):
    """What one of ffmpeg's filters says of the sound and another."""
    soundfile.write("a.wav", sound, 24000, subtype="FLOAT")
    soundfile.write("b.wav", other, 24000, subtype="FLOAT")
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", "a.wav", "-i", "b.wav", "-lavfi",
                           "[0][1]" + name, "-f", "null", "-"], check=True, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL).stderr
    return float(re.search(r"(?:PSNR|SDR) ch0: (\S+) dB", told)[1])


seen = []
for what, other in (("noise 40 dB below", sound + noise), ("noise 20 dB below", sound + 10 * noise),
                    ("half the level", 0.5 * sound)):
    off = np.mean((sound - other) ** 2)
    psnr, sdr = 10 * np.log10(1 / off), 10 * np.log10(np.mean(sound**2) / off)
    seen.append((measured("apsnr", other), psnr, measured("asdr", other), sdr))
    print("{}: apsnr says {:.1f} dB, right is {:.1f}; asdr says {:.1f}, right is {:.1f}".format(what, *seen[-1]))
sys.exit(not (all(said > right + 100 and abs(sdr_said - sdr) < 0.1 for said, right, sdr_said, sdr in seen) and
              seen[0][0] < seen[1][0] < seen[2][0] and seen[0][1] > seen[1][1] > seen[2][1]))
PY
