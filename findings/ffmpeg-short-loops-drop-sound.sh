#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg's filter aloop (ffmpeg 9.0.2 of imageio-ffmpeg 0.8.1; 5.1's too): a loop of fewer samples than a frame of the
# input drops what is left of that frame, and begins at a frame's start instead of at `start`. How much sound is lost is
# up to how the file was packed; a longer loop is right.
#
# Seen here: two seconds at 24 kHz, aloop=loop=1:size=2400:start=12000, that is 0.1 s once more: from WAV 50,400
# samples, right; from FLAC (frames of 4,096 samples) 48,704, with 1,696 of the recording missing and another tenth of a
# second repeated. With size=4800 both have 52,800 and the same sound.
#
# Who repeats a short noise or tone makes frames small first: asetnsamples=n=240,aloop=... gives all.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import soundfile

print("ffmpeg", imageio_ffmpeg.get_ffmpeg_version())
count = np.arange(48000).astype(np.int16)  # each sample says which it is
START = 12000


def looped(container, size, before=""):
    """The numbers of the samples after ffmpeg's filter."""
    soundfile.write("in." + container, count, 24000, subtype="PCM_16")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", "in." + container, "-af",
                    f"{before}aloop=loop=1:size={size}:start={START}", "out.wav"], check=True, stdin=subprocess.DEVNULL)
    return soundfile.read("out.wav", dtype="int16")[0]


seen = {}
for container, size, before in (("wav", 2400, ""), ("flac", 2400, ""), ("flac", 2400, "asetnsamples=n=240,"),
                                ("wav", 4800, ""), ("flac", 4800, "")):
    samples = looped(container, size, before)
    want = np.concatenate([count[:START + size], count[START:]])
    right, missing = np.array_equal(samples, want), len(set(count) - set(samples))
    seen[container, size, before] = right, len(samples), missing
    print(f"{before}aloop of {size} from {container}: {len(samples)} samples, wanted {len(want)}; "
          f"{missing} of the recording missing; {'right' if right else 'wrong'}")
bad = seen.pop(("flac", 2400, ""))
sys.exit(not (bad[:2] == (False, 48704) and bad[2] > 1500 and all(right for right, *_ in seen.values())))
PY
