#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2 with mpg123 in its wheel): of an MP3 of variable bit rate without its Xing frame,
# soundfile.read() returns a part and says nothing. The number of frames is guessed from the file's size and the bit rate
# of its beginning, and reading stops there. An encoder that writes to a pipe or a socket cannot go back to fill that
# frame in, and leaves it out. The same file through miniaudio 1.71 is whole, and so is one of constant bit rate.
#
# Seen here: 10 s at 24 kHz, loud and then quiet: 240,000 samples with the frame, 51,428 without it, where miniaudio gives
# some 241,000 (encoder's delay and padding are no longer known).
#
# Who reads streamed MP3 with soundfile or librosa streams at a constant bit rate, or
# checks the length.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 miniaudio==1.71
venv/bin/python - <<'PY'
import sys

import miniaudio
import numpy as np
import soundfile

RATE, SECONDS = 24000, 10
sound = 0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE * SECONDS) / RATE)
sound += 0.01 * np.random.default_rng(0).standard_normal(len(sound))
sound[len(sound) // 2:] = 0
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
read, whole = {}, {}
for mode in "CONSTANT", "VARIABLE":
    with soundfile.SoundFile("with.mp3", "w", RATE, 1, format="MP3", bitrate_mode=mode, compression_level=0.5) as file:
        file.write(sound)
    with open("with.mp3", "rb") as file:
        data = file.read()
    first = data.index(b"\xff\xf3")
    assert b"Xing" in data[first:first + 60] or b"Info" in data[first:first + 60]
    with open("without.mp3", "wb") as file:
        file.write(data[data.index(b"\xff\xf3", first + 4):])
    tagged = len(soundfile.read("with.mp3")[0])
    read[mode] = len(soundfile.read("without.mp3")[0])
    whole[mode] = len(miniaudio.decode_file("without.mp3", nchannels=1, sample_rate=RATE).samples)
    print(f"{mode}: {tagged} samples with the frame, {read[mode]} without; miniaudio: {whole[mode]}")
sys.exit(not (read["VARIABLE"] < len(sound) / 2 and min(whole.values()) >= len(sound)
              and read["CONSTANT"] >= len(sound)))
PY
