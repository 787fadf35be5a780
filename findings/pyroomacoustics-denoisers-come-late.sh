#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pyroomacoustics 0.10.1: denoise.apply_spectral_sub, apply_subspace and apply_iterative_wiener answer with as many
# samples as they were given, but the sound comes half a frame late, and as much of its end is lost. What is less than
# half a frame at the end is zeros. The documentation calls the answer the denoised signal and says nothing of a
# delay.
#
# Seen here: 256 samples late by spectral subtraction and by the Wiener filter with frames of 512, 128 by the subspace
# method with frames of 256.
#
# A score that compares sample by sample (SNR, SI-SDR) of the denoised sound is that of its delay.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyroomacoustics==0.10.1 scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import pyroomacoustics

print("pyroomacoustics", pyroomacoustics.__version__)
rng, rate = np.random.default_rng(0), 16000
time = np.arange(3 * rate + 100) / rate
voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 3 * time) > -0.2)
noisy = 0.2 * voice + 0.02 * rng.standard_normal(len(time))
seen = {}
for name, options in (("apply_spectral_sub", {"nfft": 512}), ("apply_subspace", {"frame_len": 256}),
                      ("apply_iterative_wiener", {"frame_len": 512})):
    clean = getattr(pyroomacoustics.denoise, name)(noisy, **options)
    alike = np.fft.irfft(np.fft.rfft(clean, 1 << 17) * np.conj(np.fft.rfft(noisy, 1 << 17)))
    seen[name] = int(alike.argmax()), len(clean) - len(noisy), len(clean) - 1 - int(np.flatnonzero(clean)[-1])
    print("{} {}: {} samples late, length {:+}, {} zeros at the end".format(name, options, *seen[name]))
sys.exit(seen != {"apply_spectral_sub": (256, 0, 228), "apply_subspace": (128, 0, 100),
                  "apply_iterative_wiener": (256, 0, 228)})
PY
