#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch-audiomentations 0.12.0: AddColoredNoise's colours are those of noise twice as steep. Its documentation calls
# f_decay a decay of power, "1/f**f_decay", with 1 for pink, 2 for brown and -1 for blue noise. What is scaled by
# that power is the amplitude; and the frequencies it is taken of are a straight line from 1 to the square root of half
# the rate, so what lies below about 100 Hz is flat.
#
# Seen here at 16 kHz, level of the octave from 4 kHz against that from 2 kHz: "pink" -5.9 dB (pink noise: -3.0),
# "brown" -11.7 dB (-6.0), "blue" +5.9 dB (+3.0).
#
# Give half of it: f_decay=0.5 is pink above some hundred hertz.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch-audiomentations==0.12.0 torch==2.13.0 torchaudio==2.11.1 \
    torch-pitch-shift==1.2.5 julius==0.2.8 librosa==0.11.0 numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import math
import sys
from importlib.metadata import version

import torch
from torch_audiomentations import AddColoredNoise

print({name: version(name) for name in ("torch-audiomentations", "torch")})
RATE = 16000
torch.manual_seed(0)
slope = {}
for name, decay in (("white", 0.0), ("pink", 1.0), ("brown", 2.0), ("blue", -1.0)):
    add = AddColoredNoise(min_snr_in_db=0, max_snr_in_db=0, min_f_decay=decay, max_f_decay=decay, p=1.0,
                          output_type="tensor")
    sound = torch.randn(64, 1, RATE)
    power = torch.fft.rfft((add(sound, sample_rate=RATE) - sound)[:, 0]).abs().square().mean(0)
    levels = [10 * math.log10(float(power[low:2 * low].mean())) for low in (500, 1000, 2000, 4000)]
    slope[name] = round(levels[-1] - levels[-2], 1)
    print(f"{name}, f_decay={decay}: dB an octave from 500 Hz:", [round(b - a, 1) for a, b in zip(levels, levels[1:])],
          "expected", round(-3.01 * decay, 1))
sys.exit(not (abs(slope["white"]) < 0.3 and slope["pink"] < -5 and slope["brown"] < -10 and slope["blue"] > 5))
PY
