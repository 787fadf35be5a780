#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2 in its wheel) reads a WAV file behind an ID3 tag whole by its path, and without its
# end from memory (io.BytesIO, any file object): as many bytes are missing as the tag has, without an error or a
# warning. Taggers write ID3 before files of any kind, with a picture of some 100 kB; a second of 48 kHz in stereo has
# 192 kB. What is read of an upload, of a row of a data set or of an archive comes from memory.
#
# Seen here: of two seconds (24 kHz, 16 bits, 96,044 bytes) behind a tag of 48,000 bytes, soundfile tells and reads
# 48,000 samples by its path, and 24,000 of io.BytesIO.
#
# What helps: leave the tag out before (10 bytes, and its size in seven bits of each of the bytes 6 to 9).
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import io
import sys

import numpy as np
import soundfile

RATE, TAG = 24000, 48000
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
soundfile.write("plain.wav", 0.1 * np.random.default_rng(0).standard_normal(2 * RATE), RATE)
size = TAG - 10
tag = b"ID3\4\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
with open("plain.wav", "rb") as file:
    data = tag + file.read()
with open("tagged.wav", "wb") as file:
    file.write(data)
by_path, in_memory = soundfile.read("tagged.wav")[0], soundfile.read(io.BytesIO(data))[0]
print(f"by its path {len(by_path)} samples, from memory {len(in_memory)}")
sys.exit(not (len(by_path) == 2 * RATE and len(in_memory) == 2 * RATE - TAG // 2))
PY
