#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0; 5.1's ffmpeg and 9.0.2's too) decodes Ogg Vorbis of a word to another length than it says and
# than was written: its last block is missing, or silence and echoes follow. So do torchcodec and datasets, which decode
# by FFmpeg. It is so where all sound lies in one page of the file; libsndfile 1.2.2 wrote it and reads it right. The
# time of the first frame is a block late as well, though its first sample is the first that was written.
#
# Seen here, at 24 kHz, of a voice in silence: of 12,000 samples FFmpeg gives 12,416 (17 ms more), of 12,600 12,344 and
# of 19,200 18,944 (10.7 ms less). What is in both is the same. Of 48,000, in two pages, it gives all.
#
# Corpora of commands and single words are such files. Who cuts or compares by lengths reads Vorbis by libvorbis
# (soundfile).
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile

print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"], "soundfile", soundfile.__version__,
      soundfile.__libsndfile_version__)
RATE = 24000


def word(n):
    """A voice of 110 Hz that fades in and out, a tenth of a second of silence before and behind it."""
    t = np.arange(n - RATE // 5)
    voice = sum(np.sin(2 * np.pi * 110 * k * t / RATE + k) / k for k in range(1, 30))
    return np.pad(0.1 * voice * np.minimum(1, np.minimum(t, t[::-1]) / 1200), RATE // 10)


seen = {}
for n in (12000, 12600, 19200, 48000):
    soundfile.write("word.ogg", word(n), RATE, format="OGG", subtype="VORBIS")
    with open("word.ogg", "rb") as file:
        pages = file.read().count(b"OggS") - 2
    whole = soundfile.read("word.ogg", dtype="float32")[0]
    with av.open("word.ogg") as file:
        told = round(file.duration * RATE / 1e6)
        frames = list(file.decode(audio=0))
    samples = np.concatenate([x.to_ndarray()[0] for x in frames])
    shared = min(len(samples), n)
    off = float(np.abs(samples[:shared] - whole[:shared]).max())
    seen[n] = pages, len(samples)
    print(f"{n} samples in {pages} pages: libsndfile reads {len(whole)}; FFmpeg says {told} and gives {len(samples)}, "
          f"off by {off:.0e}, the first at {1000 * frames[0].time:.1f} ms")
    if len(whole) != n or told != n or off > 1e-5:
        sys.exit(1)
sys.exit(seen != {12000: (1, 12416), 12600: (1, 12344), 19200: (1, 18944), 48000: (2, 48000)})
PY
