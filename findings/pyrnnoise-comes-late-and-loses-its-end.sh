#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pyrnnoise 0.4.5: denoise_chunk gives the denoised sound 20 ms late, and its last 20 ms and more never come, also
# with partial=True, which the documentation gives for the end of a file: RNNoise holds two frames back, and nothing
# takes that off. The documentation does not say so.
#
# Seen here: 20 ms late at 48, 24 and 16 kHz.
#
# Put 20 ms of silence behind the sound, and drop the first 20 ms of what comes.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyrnnoise==0.4.5 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
from pyrnnoise import RNNoise

print("pyrnnoise", version("pyrnnoise"))
seen = {}
for rate in (48000, 24000, 16000):
    time = np.arange(2 * rate) / rate
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 3 * time)) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 2 * time) > -0.3)
    speech = np.round(8000 * voice / np.abs(voice).max()).astype(np.int16)
    clean = np.concatenate([out[0] for _, out in RNNoise(rate).denoise_chunk(speech[None], partial=True)])
    alike = np.fft.irfft(np.fft.rfft(clean, 1 << 18) * np.conj(np.fft.rfft(speech, 1 << 18)))
    seen[rate] = round(1000 * int(alike.argmax()) / rate), len(clean) - len(speech)
    print("{} Hz: {} ms late, {:+} samples".format(rate, *seen[rate]))
sys.exit(not all(late == 20 and longer <= 0 for late, longer in seen.values()))
PY
