#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kaldiio 2.18.1 (the reader of Kaldi's scp and ark in ESPnet and others): a WAV of A-law or mu-law is read without a
# word as linear samples: the codes themselves come, as uint8. The format tag of the header is not looked at.
# Python's own wave module refuses such files, and soundfile, SoX and ffmpeg decode them.
#
# Seen here: silence of mu-law comes as 255, of A-law as 213, each of uint8. soundfile gives 0 and 8 of int16.
#
# Corpora of telephone speech are full of mu-law. A pipe in wav.scp ("sox in.wav -t wav -e signed -b 16 - |") decodes.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check kaldiio==2.18.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import kaldiio
import numpy as np
import soundfile

print({name: version(name) for name in ("kaldiio", "soundfile")})
right = []
for subtype in ("PCM_16", "ULAW", "ALAW"):
    soundfile.write("silence.wav", np.zeros(1000), 8000, subtype=subtype)
    with open("wav.scp", "w") as scp:
        scp.write("silence silence.wav\n")
    rate, samples = kaldiio.load_scp("wav.scp")["silence"]
    decoded = soundfile.read("silence.wav", dtype="int16")[0][:1000]
    loudest = int(np.abs(decoded.astype(int)).max())
    print(f"{subtype}: {len(samples)} of {samples.dtype}, the first ten {samples[:10]}; soundfile's loudest {loudest}")
    wrong = samples.dtype == np.uint8 and bool(samples.any())
    right.append(loudest <= 8 and wrong == (subtype != "PCM_16"))
sys.exit(not all(right))
PY
