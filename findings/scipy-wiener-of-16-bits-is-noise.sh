#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scipy 1.17.1: signal.wiener, its noise filter, answers in float64, but squares the samples and adds them up in their
# own type before. Of a sound as wavfile.read gives it, 16-bit integers, both wrap, and the local means and variances
# are random: the answer is noise up to ten thousand times louder than the sound. The same numbers as floats are
# filtered right; signal.medfilt, savgol_filter, lfilter, detrend and welch take integers without harm.
#
# Seen here: a tone of 3,000 of 32,767 with noise of 200, 17 dB above it. As float64 it comes out 21 to 25 dB above the
# noise, as int16 52 to 70 dB below it, without a warning.
#
# Take samples to floats before wiener.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
import warnings

import numpy as np
import scipy
from scipy import signal
from scipy.io import wavfile

print("scipy", scipy.__version__, "numpy", np.__version__)
warnings.simplefilter("error")  # none comes
time = np.arange(48000) / 24000
clean = 3000 * np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 1.5 * time)
wavfile.write("noisy.wav", 24000, (clean + np.random.default_rng(0).normal(0, 200, 48000)).round().astype(np.int16))
_, noisy = wavfile.read("noisy.wav")


def above(sound):
    """How far the clean sound is above what differs from it, in decibels."""
    return 10 * np.log10(np.sum(clean**2) / np.sum((sound - clean)**2))


print(f"as it comes from the file, {noisy.dtype}: {above(noisy.astype(float)):.1f} dB above the noise")
as_seen = []
for size in (3, 5, 15):
    integers, floats = signal.wiener(noisy, size), signal.wiener(noisy.astype(float), size)
    print(f"windows of {size}: {above(floats):.1f} dB of float64, {above(integers):.1f} dB of int16 "
          f"(its loudest sample {np.abs(integers).max():.0f}, {integers.dtype})")
    as_seen.append(above(floats) > 20 and above(integers) < 0 and np.abs(integers).max() > 32767)
sys.exit(not all(as_seen))
PY
