#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2 in its wheel): a FLAC stream whose STREAMINFO leaves the number
# of samples unknown (0, RFC 9639 section 8.2), as every encoder to a pipe writes it, has
# 9223372036854775807 frames. soundfile.read() then raises "array is too big"; blocks(), and any
# SoundFile.read(n) that comes to the last sample, an error of psf_fseek. Shorter reads work. FFmpeg and
# flac read such a file to its end.
#
# Who streams FLAC to a Python client should tell the number of samples where it is known.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import soundfile

sound = (np.sin(np.arange(24000) / 20) * 9000).astype(np.int16)
soundfile.write("whole.flac", sound, 24000)
data = bytearray(open("whole.flac", "rb").read())
assert data[:4] == b"fLaC" and data[4] & 0x7f == 0  # STREAMINFO comes first
info = 8
data[info + 13] &= 0xf0  # the 36 bits of total samples
data[info + 14:info + 18] = bytes(4)
open("streamed.flac", "wb").write(data)

failed = []
for name in "whole.flac", "streamed.flac":
    print(name, "frames:", soundfile.info(name).frames)
for what, read in [("read()", lambda: soundfile.read("streamed.flac")),
                   ("blocks()", lambda: list(soundfile.blocks("streamed.flac", 1024))),
                   ("SoundFile.read(24000)", lambda: soundfile.SoundFile("streamed.flac").read(24000))]:
    try:
        read()
    except (ValueError, RuntimeError) as error:
        failed.append(what)
        print(what, "raises", type(error).__name__ + ":", error)
same = np.array_equal(soundfile.SoundFile("streamed.flac").read(20000, dtype="int16"), sound[:20000])
print("SoundFile.read(20000) gives the samples:", same)
sys.exit(not (soundfile.info("streamed.flac").frames == 2**63 - 1 and len(failed) == 3 and same))
PY
