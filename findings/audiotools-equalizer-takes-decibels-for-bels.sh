#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# descript-audiotools 0.7.2 (of the Descript Audio Codec): AudioSignal.equalizer takes a curve `db`, and multiplies each
# band by 10^db where decibels of amplitude are 10^(db / 20): 1 dB is 20. The transform Equalizer, whose "maximum dB
# cut" is 1 by default, cuts bands by up to 20 dB with it, and training data that it made lacks whole bands.
# volume_change and mix of the same class take decibels right.
#
# Seen here, all six bands of white noise: -1 dB is 20 dB quieter, -6 dB 120 dB, 1 dB 20 dB louder. A curve of the
# default transform, 0.42 to 0.72 dB deep, cuts by 8 to 14 dB.
#
# Give a twentieth of the decibels.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check descript-audiotools==0.7.2 torch==2.13.0 torchaudio==2.11.1 \
    numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python -W ignore - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from audiotools import AudioSignal
from audiotools.data.transforms import Equalizer

print({name: version(name) for name in ("descript-audiotools", "torch")})
noise = AudioSignal(0.1 * torch.randn(1, 1, 24000, generator=torch.Generator().manual_seed(0)), 24000)


def change(signal):
    return 20 * torch.log10(signal.audio_data.std() / noise.audio_data.std()).item()


as_seen = []
for db in (-6.0, -1.0, 0.0, 1.0):
    by_curve = change(noise.clone().equalizer(torch.full((6,), db)))
    by_volume = change(noise.clone().volume_change(db))
    print(f"{db} dB: equalizer {by_curve:.2f} dB, volume_change {by_volume:.2f} dB")
    as_seen.append(abs(by_curve - 20 * db) < 0.1 and abs(by_volume - db) < 0.1)
curve = Equalizer().instantiate(0, noise)["Equalizer"]["eq"]
print("a curve of the default transform:", [round(float(x), 2) for x in curve])
sys.exit(not (all(as_seen) and float(curve.min()) >= -1))
PY
