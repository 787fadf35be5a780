#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# audioread 3.1.0 (librosa's and beets' reader): a WAV of 8 bits is read by its RawAudioFile as if its samples were
# signed. In a WAV they are unsigned with 128 for silence. So silence comes as -32,768, and every sample whose value is
# near zero jumps from one end of the range to the other. Documentation promises signed samples of 16 bits.
#
# Seen here: ten samples of silence are ten times -32,768; of a sine with a peak of 0.10 the peak is 1.00. The same
# samples as WAV of 16 bits come right, and so do those of 8 bits by soundfile.
#
# Old prompts of telephones are often of 8 bits: read them with soundfile, or with csm.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check audioread==3.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import audioread
import numpy as np
import soundfile

print({name: version(name) for name in ("audioread", "soundfile")})


def read(path):
    with audioread.audio_open(path) as file:
        return type(file).__name__, np.frombuffer(b"".join(file), "<i2") / 32768


soundfile.write("silence.wav", np.zeros(10), 24000, subtype="PCM_U8")
reader, silence = read("silence.wav")
sine, peaks = 0.1 * np.sin(np.arange(24000) / 10), {}
for subtype in ("PCM_U8", "PCM_16"):
    soundfile.write("sine.wav", sine, 24000, subtype=subtype)
    peaks[subtype] = [float(np.abs(x).max()) for x in (read("sine.wav")[1], soundfile.read("sine.wav")[0])]
print(f"silence of 8 bits by audioread's {reader}: {silence}")
print("peaks of a sine of 0.1, audioread and soundfile:", peaks)
sys.exit(not ((silence == -1).all() and peaks["PCM_U8"][0] > 0.99 and
              all(abs(p - 0.1) < 0.01 for p in (peaks["PCM_U8"][1], *peaks["PCM_16"]))))
PY
