#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# datasets 5.2.0 (its Audio feature, given an array) and torchaudio 2.11.1 (save, given a tensor) turn 16-bit integers
# into floats without dividing by 32768, since torchcodec's encoder wants floats in -1 to 1. Every sample of a usual
# sound is then at one end or the other: loud noise of the right length, and no message. Sounds of soundfile's
# dtype="int16", of Python's wave, of many engines of speech are such arrays. torchaudio's save took them as they were
# until 2.8. soundfile writes the same array right.
#
# Seen here: a tone of 10,000 of 32,767 comes back with all but a few of its samples at -32768 or 32767.
#
# csm's Python package gives floats; whoever has 16 bits divides by 32768 first.
#
# Needs pip, python3 and FFmpeg's libraries (torchcodec loads them). Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 torch==2.14.1 \
    torchaudio==2.11.1 torchcodec==0.17.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import io
import sys
from importlib.metadata import version

import datasets
import numpy as np
import soundfile
import torch
import torchaudio

print({name: version(name) for name in ("datasets", "torchaudio", "torchcodec")})
tone = (10000 * np.sin(np.arange(24000) / 20)).astype("int16")
features = datasets.Features({"sound": datasets.Audio(sampling_rate=24000)})
rows = datasets.Dataset.from_dict({"sound": [{"array": tone, "sampling_rate": 24000}]}, features=features)
stored = rows.with_format("arrow")[0]["sound"][0].as_py()["bytes"]
torchaudio.save("torchaudio.wav", torch.from_numpy(tone)[None], 24000)
soundfile.write("soundfile.wav", tone, 24000)
ends = {}
for name, file in (("datasets", io.BytesIO(stored)), ("torchaudio", "torchaudio.wav"), ("soundfile", "soundfile.wav")):
    back = soundfile.read(file, dtype="int16")[0]
    ends[name] = float(np.mean((back == -32768) | (back == 32767)))
    print(f"{name}: {len(back)} samples, {ends[name]:.1%} of them at the ends; equal: {np.array_equal(back, tone)}")
sys.exit(0 if ends["datasets"] > 0.9 and ends["torchaudio"] > 0.9 and ends["soundfile"] == 0 else 1)
PY
