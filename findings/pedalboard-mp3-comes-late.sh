#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pedalboard 0.9.26: AudioFile reads an MP3 with its encoder's delay and padding, though the file's LAME tag tells
# both. soundfile, FFmpeg and mpg123 obey the tag. A sound that went through MP3 is 1,105 samples late in pedalboard
# (46 ms at 24 kHz: half of one of Mimi's frames, so every code of a context changes) and 1,344 longer. No message, no
# option.
#
# Seen here: the file is pedalboard's own; 24,000 samples come back as 24,000 from soundfile, with the click where it
# was.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pedalboard==0.9.26 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import soundfile
from pedalboard.io import AudioFile

print({name: version(name) for name in ("pedalboard", "soundfile")})
sound = (np.random.default_rng(0).standard_normal(24000) * 0.02).astype("float32")
sound[12000:12040] += 0.9 * np.hanning(40).astype("float32")
with AudioFile("out.mp3", "w", 24000, 1) as file:
    file.write(sound)
by_soundfile = soundfile.read("out.mp3")[0]
with AudioFile("out.mp3") as file:
    by_pedalboard = file.read(file.frames)[0]
late = {}
for name, samples in (("soundfile", by_soundfile), ("pedalboard", by_pedalboard)):
    late[name] = int(np.argmax(np.correlate(samples[11000:15000], sound[12000:12040], "valid"))) - 1000
    print(f"{name}: {len(samples)} samples, the click {late[name]} late")
right = len(by_soundfile) == 24000 and abs(late["soundfile"]) < 5
sys.exit(0 if right and late["pedalboard"] > 1000 and len(by_pedalboard) > 25000 else 1)
PY
