#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# LAME 3.100 (Debian 12: lame 3.100-6): `lame speech.wav speech.mp3` of 24 kHz mono takes 32 kbit/s, and at constant
# rates below 64 kbit/s it leaves its Info tag out, without a word: the tag does not fit into so short a frame. The tag
# says how many samples are delay and padding, so that decoders take them off. Without it the sound comes back 1,536
# samples longer, and late.
#
# Seen here: 48,000 samples come back as 49,536 by default and at 56 kbit/s, as 48,000 at 64.
#
# Who makes MP3 of speech for training or for playing without gaps says -b 64 or more, or -V.
#
# Needs apt-get, dpkg, and python3 with venv; nothing is installed into the system. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get download -qq lame=3.100-6 libmp3lame0=3.100-6 libtinfo6 libsndfile1 libflac12 libvorbis0a libvorbisenc2 \
    libopus0 libogg0 libmpg123-0 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" .; done
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
libraries=$(find "$place" -name 'lib*.so.*' -exec dirname {} + | sort -u | paste -sd:)
LAME="$place/usr/bin/lame" LIBRARIES=$libraries venv/bin/python - <<'PY'
import os
import subprocess
import sys

import numpy as np
import soundfile

soundfile.write("speech.wav", 0.3 * np.sin(2 * np.pi * 220 * np.arange(48000) / 24000), 24000)


def lame(*options):
    return subprocess.run([os.environ["LAME"], *options], check=True, capture_output=True, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": os.environ["LIBRARIES"]}).stdout


print(lame("--version").splitlines()[0])
seen = {}
for options in [], ["-b", "56"], ["-b", "64"], ["-V", "4"]:
    lame("--quiet", *options, "speech.wav", "speech.mp3")
    with open("speech.mp3", "rb") as file:
        start = file.read(200)
    samples, rate = soundfile.read("speech.mp3")
    seen[" ".join(options)] = (b"Info" in start or b"Xing" in start, len(samples), rate)
    print("lame", *options, "speech.wav:", "a tag," if seen[" ".join(options)][0] else "no tag,", len(samples),
          "samples at", rate)
sys.exit(seen != {"": (False, 49536, 24000), "-b 56": (False, 49536, 24000), "-b 64": (True, 48000, 24000),
                  "-V 4": (True, 48000, 24000)})
PY
