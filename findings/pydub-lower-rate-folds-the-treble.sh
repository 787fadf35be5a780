#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pydub 0.25.1: set_frame_rate to a lower rate has no filter: it joins the samples by straight lines and takes points of
# them. All that lies above half the new rate is folded down at full loudness. Documentation says "an equivalent
# version of this AudioSegment". soxr takes it away, and so does ffmpeg, by export(parameters=["-ar", "24000"]).
#
# Seen here: 48 to 24 kHz: a tone of 20 kHz becomes one of 4 kHz, and of 13 kHz one of 11 kHz, each as loud as before;
# soxr leaves less than 0.0001 of it.
#
# Hiss of s and f lies there: contexts made like this sound rough, and have other codes. csm resamples by soxr.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pydub==0.25.1 soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import soxr
from pydub import AudioSegment

print({name: version(name) for name in ("pydub", "soxr")})
time, told = np.arange(48000) / 48000, {}


def loudest(sound):
    """The loudest tone of a second at 24 kHz: its frequency and its peak."""
    spectrum = np.abs(np.fft.rfft(sound[:24000] * np.hanning(24000))) / 6000
    return int(spectrum.argmax()), round(float(spectrum.max()), 4)


for hz in (1000, 13000, 20000):
    tone = (0.5 * np.sin(2 * np.pi * hz * time) * 32767).astype("<i2")
    segment = AudioSegment(tone.tobytes(), frame_rate=48000, sample_width=2, channels=1).set_frame_rate(24000)
    by_pydub = np.array(segment.get_array_of_samples()) / 32768
    told[hz] = (*loudest(by_pydub), loudest(soxr.resample(tone / 32768, 48000, 24000))[1])
    print("a tone of {} Hz of 0.5: pydub {} Hz of {}; soxr's loudest {}".format(hz, *told[hz]))
sys.exit(not (told[1000][0] == 1000 and told[1000][2] > 0.49 and
              all(told[hz][0] == 24000 - hz and told[hz][1] > 0.49 and told[hz][2] < 1e-3 for hz in (13000, 20000))))
PY
