#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2 in its wheel): bitrate_mode="CONSTANT" of an MP3 has no effect unless
# compression_level is given, too: the file is of variable rate, byte for byte the default's. No error, no warning. So
# who asks for a constant rate, to stream or to seek, does not get one.
#
# Seen here: a second of noise at 24 kHz has 6,600 bytes and a Xing frame (variable) with any bitrate_mode alone; with
# compression_level=0.5 "CONSTANT" has 10,800 and an Info frame (constant).
#
# Who wants a constant rate gives compression_level as well.
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

sound = np.random.default_rng(0).standard_normal(24000) * 0.1
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)


def written(**options):
    with soundfile.SoundFile("a.mp3", "w", 24000, 1, format="MP3", **options) as file:
        file.write(sound)
    with open("a.mp3", "rb") as file:
        data = file.read()
    kind = "variable" if b"Xing" in data[:200] else "constant" if b"Info" in data[:200] else "unknown"
    print(options, len(data), "bytes,", kind)
    return data, kind


default, alone = written(), written(bitrate_mode="CONSTANT")
both = written(bitrate_mode="CONSTANT", compression_level=0.5)
sys.exit(not (alone == default and alone[1] == "variable" and both[1] == "constant"))
PY
