#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch-audiomentations 0.12.0: AddColoredNoise draws one second of noise and repeats it to the end of the sound. Its
# documentation speaks of adding noise of a colour and says nothing of a length.
#
# Seen here: four seconds at 16 kHz: the noise of each second is that of the first, to 1e-6. Its spectrum has a line
# at each whole hertz and nothing between: of the energy from 100 to 200 Hz less than 1e-6 lies at the half hertz.
# An average over the seconds, which would take 6 dB from noise, takes nothing. With brown noise (f_decay=2) a sound
# of 50 ms gets noise of 5 to 17 dB where 10 dB were asked: the level is that of the second, not of what is used.
#
# A model may learn the period instead of the noise. Draw noise over the whole length.
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


def noise(sound, decay):
    add = AddColoredNoise(min_snr_in_db=10, max_snr_in_db=10, min_f_decay=decay, max_f_decay=decay, p=1.0,
                          output_type="tensor")
    return (add(sound, sample_rate=RATE) - sound)[0, 0]


white = noise(0.1 * torch.randn(1, 1, 4 * RATE), 0.0)
apart = float((white[RATE:] - white[:-RATE]).abs().max())
print(f"level of the noise {float(white.std()):.4f}; a second later it differs by {apart:.1e} at most")
spectrum = torch.fft.rfft(white).abs().square()[400:800].reshape(-1, 4).sum(0)
between = float(spectrum[2] / spectrum[0])
print(f"energy at the half hertz of that at the whole ones: {between:.1e}")
mean = 20 * math.log10(float(white.reshape(4, RATE).mean(0).std() / white.std()))
print(f"the mean of its four seconds: {mean:.2f} dB")
short, ratios = 0.1 * torch.randn(1, 1, RATE // 20), []
for _ in range(200):
    ratios.append(10 * math.log10(float(short.square().mean() / noise(short, 2.0).square().mean())))
print(f"50 ms of brown noise of 10 dB: {min(ratios):.1f} to {max(ratios):.1f} dB")
sys.exit(not (apart < 1e-6 and between < 1e-6 and abs(mean) < 0.01 and max(ratios) - min(ratios) > 5))
PY
