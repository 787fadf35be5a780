#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# resemble-perth 1.0.1 (PerthImplicitWatermarker, with the weights of its wheel) tells its mark in low steady tones
# that never had it: a hum of 50 Hz with a confidence of 0.998, a chord of three sines (C, E, G below middle C) with
# 0.98, sines of 60 to 300 Hz with 0.83 and more. White noise and a saw tooth have 0. Of digital silence it
# tells nan, neither 0 nor 1. And apply_watermark gives back fewer samples than it gets, by up to a hop of
# 10 ms: 12,345 samples of 24 kHz become 12,240, so that a stream that is marked in pieces loses some of
# each.
#
# Who takes get_watermark's 1 for proof that a sound is generated should look at hum and held notes first.
#
# Its wheel names no dependencies; where torchaudio is missing, PerthImplicitWatermarker is None.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check resemble-perth==1.0.1 torch==2.13.0 torchaudio==2.11.1 \
    librosa==0.11.0 scipy==1.17.1 numpy==2.4.6 pyyaml==6.0.4 setuptools==80.9.0
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY'
import math
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")
import perth  # noqa: E402

RATE = 24000
net = perth.PerthImplicitWatermarker()
time = np.arange(4 * RATE) / RATE


def tones(level, *hz):
    return sum(level * np.sin(2 * np.pi * f * time) for f in hz)


sounds = {"hum of 50 Hz": tones(0.3, 50), "chord": tones(0.1, 130.8, 164.8, 196.0)}
sounds |= {f"sine of {f} Hz": tones(0.3, f) for f in (60, 100, 150, 220, 300)}
others = {"white noise": 0.1 * np.random.default_rng(0).standard_normal(len(time)),
          "saw tooth of 110 Hz": 0.3 * (time * 110 % 1 - 0.5), "silence": np.zeros_like(time)}
told = {name: float(net.get_watermark(x.astype(np.float32), sample_rate=RATE, round=False))
        for name, x in (sounds | others).items()}
for name, confidence in told.items():
    print(f"{name}, not marked: {confidence:.3f}")
noise = others["white noise"].astype(np.float32)
lengths = {n: len(net.apply_watermark(noise[:n], sample_rate=RATE)) for n in (24000, 24100, 12345)}
for n, marked in lengths.items():
    print(f"{n} samples, marked: {marked}")
sys.exit(not (all(told[name] > 0.7 for name in sounds) and math.isnan(told["silence"]) and
              told["white noise"] < 0.1 and told["saw tooth of 110 Hz"] < 0.1 and
              list(lengths.values()) == [24000, 24000, 12240]))
PY
