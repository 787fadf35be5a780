#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torchaudio 2.11.1: functional.dither draws no noise. For "TPDF", its default, documentation tells of "noise with a
# triangular distribution"; what is added is a triangle over the length of the sound: nothing at its ends, one step of
# 16 bits in its middle, the same at each call. "RPDF" adds one number to all samples, and so does "GPDF", whose number
# is a sum of samples of the sound. GPDF changes the sound that it was given too, and of mono it raises an error.
#
# Seen here: a second of silence at 24 kHz: after TPDF samples 6,001 to 17,999 are one step, all others 0, twice the
# same; with RPDF and GPDF all samples of a channel are one number. Of a tone of 0.4 steps, which noise would keep,
# nothing is left in the first and the last 50 ms after TPDF. GPDF changes one sample of its input.
#
# Add noise of your own before rounding: the difference of two uniform draws of one step.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 torchaudio==2.11.1 numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from torchaudio.functional import dither

print({name: version(name) for name in ("torchaudio", "torch")})
STEP, RATE = 2**-15, 24000
torch.manual_seed(0)
silence = torch.zeros(2, RATE)
once, again = dither(silence), dither(silence)
ones = torch.nonzero(once[0] == STEP)[:, 0]
block = (int(ones[0]), int(ones[-1]), len(ones))
print("TPDF of silence: samples {} to {}, {} of them, are one step; two calls equal: {}".format(
    *block, torch.equal(once, again)))
tone = 0.4 * STEP * torch.sin(torch.arange(RATE) / 7)[None]
kept = dither(tone)[0]
ends = [int((part != 0).sum()) for part in (kept[:RATE // 20], kept[-RATE // 20:])]
print(f"a tone of 0.4 steps: samples that are not 0 in its first and last 50 ms: {ends}")
numbers = {}
for kind in ("RPDF", "GPDF"):
    numbers[kind] = max(len(torch.unique(channel)) for channel in dither(silence, kind))
    print(f"{kind} of silence: {numbers[kind]} number in a channel")
noise = torch.randn(2, RATE) / 10
given = noise.clone()
dither(given, "GPDF")
changed = int((given != noise).sum())
print(f"GPDF changed {changed} samples of its input")
try:
    dither(noise[:1], "GPDF")
    mono = "no error"
except RuntimeError as error:
    mono = str(error).splitlines()[0]
print("GPDF of mono:", mono)
sys.exit(not (torch.equal(once, again) and block == (6001, 17999, 11999) and ends == [0, 0] and
              numbers == {"RPDF": 1, "GPDF": 1} and changed == 1 and mono != "no error"))
PY
