#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2 in its wheel) reads the first recording of a chained Ogg file and stops: no error,
# no warning. RFC 3533 makes a file of several recordings by writing one behind the other (`cat a.ogg b.ogg`), which is
# what stations that stream Vorbis or Opus, and recorders that split takes, leave. A player of Opus or Vorbis goes on.
#
# Seen here: of two recordings of one and two seconds (24 kHz, Vorbis and Opus alike) soundfile tells and reads 24,000
# samples. PyAV 18.1.0 (FFmpeg's libraries) decodes the packets of both: 3 s and a coder's delay.
#
# A reference that was recorded in takes lends its first take alone; a transcript of all is then of other sound. What
# helps: `ffmpeg -i chained.ogg whole.wav`.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 av==18.1.0
venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile

RATE = 24000
rng = np.random.default_rng(0)
is_so = True
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__, "av", av.__version__)
for subtype in "VORBIS", "OPUS":
    data = b""
    for seconds in 1, 2:
        soundfile.write("one.ogg", 0.1 * rng.standard_normal(seconds * RATE), RATE, format="OGG", subtype=subtype)
        with open("one.ogg", "rb") as file:
            data += file.read()
    with open("both.ogg", "wb") as file:
        file.write(data)
    told, read = soundfile.info("both.ogg").frames, len(soundfile.read("both.ogg")[0])
    with av.open("both.ogg") as container:
        frames = [frame for frame in container.decode(audio=0)]
    decoded = sum(frame.samples for frame in frames) / frames[0].sample_rate
    print(f"{subtype}: soundfile tells {told} samples and reads {read}, PyAV decodes {decoded:.2f} s")
    is_so = is_so and told == read == RATE and 2.9 < decoded < 3.2
sys.exit(not is_so)
PY
