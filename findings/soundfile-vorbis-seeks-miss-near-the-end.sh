#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2): an Ogg Vorbis file that is read from a place near its end (read(start=), seek)
# gives the sound of another place, some milliseconds further on, and says nothing. Read from its beginning, the file is
# right; FFmpeg reads it so too.
#
# Seen here: three seconds of noise at 24 kHz: from 2.7 s on, start= gives the sound of 192 samples (8 ms) later. Ten
# seconds: from 9.5 s on that of 128 samples later.
#
# Segments of corpora are read so. Read the whole, and cut; csm reads from the beginning.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
as_seen = []
for seconds in (3, 10):
    noise = 0.1 * np.random.default_rng(0).standard_normal(24000 * seconds)
    soundfile.write("noise.ogg", noise, 24000, format="OGG", subtype="VORBIS")
    whole = soundfile.read("noise.ogg", dtype="float32")[0]
    with av.open("noise.ogg") as file:
        by_ffmpeg = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    agree = bool(np.abs(whole - by_ffmpeg[:len(whole)]).max() < 1e-5)
    wrong = {}
    for start in range(0, len(whole) - 2000, 500):
        read = soundfile.read("noise.ogg", start=start, stop=start + 1000, dtype="float32")[0]
        if np.abs(read - whole[start:start + 1000]).max() > 0.1:
            wrong[start] = next((k for k in range(-1000, 1001) if start + k + 1000 <= len(whole) and
                                 np.abs(read - whole[start + k:start + k + 1000]).max() < 1e-5), None)
    print(f"{seconds} s: read whole equal to FFmpeg: {agree}; of places every 500 samples {len(wrong)} are wrong, from "
          f"start={min(wrong, default=None)} on, by {sorted(set(wrong.values()), key=str)} samples")
    as_seen.append(agree and len(wrong) > 3 and max(wrong) > len(whole) - 4000 and any(wrong.values()))
sys.exit(not all(as_seen))
PY
