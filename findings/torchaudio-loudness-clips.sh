#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torchaudio 2.11.1: functional.loudness (and transforms.Loudness) says that it measures by ITU-R BS.1770. Its filters
# cut at 1.0 what they give back: the first lifts treble by 4 dB, so that loud sounds with treble are measured clipped,
# and samples in the scale of 16 bits (torchaudio.load with normalize=False, made floats) have the loudness of a square.
# lfilter documents its clamp=True; the biquads and loudness have no such argument and name none. pyloudnorm is right.
#
# Seen here: a tone of 3 kHz: at 0.1 torchaudio and pyloudnorm agree; at 1.0, 20 dB more, torchaudio says 2.3 dB less
# than it should. Noise at 32,767 times the level, 90.3 dB more, is 8.9 dB louder.
#
# Measure at a tenth of the level and add 20 dB.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 torchaudio==2.11.1 pyloudnorm==0.2.0 scipy==1.17.1 \
    numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import pyloudnorm
import torch
from torchaudio.functional import loudness

print({name: version(name) for name in ("torchaudio", "torch", "pyloudnorm")})
RATE = 24000
torch.manual_seed(0)
tone = torch.sin(2 * torch.pi * 3000 * torch.arange(RATE // 2) / RATE)
noise = torch.randn(RATE // 2)
noise /= noise.abs().max()
told = {}
for name, sound in (("tone", tone), ("noise", noise)):
    for level in (0.1, 1.0, 32767.0):
        told[name, level] = (float(loudness(sound[None] * level, RATE)),
                             float(pyloudnorm.Meter(RATE).integrated_loudness((sound * level).double().numpy())))
        print("a {} of {}: torchaudio {:.2f}, pyloudnorm {:.2f} LUFS".format(name, level, *told[name, level]))
gap = {key: value[0] - value[1] for key, value in told.items()}
rise = told["noise", 32767.0][0] - told["noise", 1.0][0]
print(f"noise of 32,767 is {rise:.1f} dB louder than of 1.0 to torchaudio")
sys.exit(not (abs(gap["tone", 0.1]) < 0.1 and gap["tone", 1.0] < -2 and abs(gap["noise", 0.1]) < 0.1 and rise < 20))
PY
