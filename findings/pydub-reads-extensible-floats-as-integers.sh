#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pydub 0.25.1: AudioSegment.from_file of a WAV whose header is WAVE_FORMAT_EXTENSIBLE takes its samples for integers,
# whatever the subformat says. So floats of 32 bits come loud and torn, and mu-law too. The same
# samples with a plain header (format 3 or 7) go to ffmpeg and come right. Many programs write the extensible header for
# floats, for more than two channels or more than 16 bits.
#
# Seen here: a sine with a peak of 0.10 in floats: plain 0.100; extensible 0.576, and all samples lie beyond 0.11. As
# mu-law: plain 0.102, extensible 0.992, with 99 % of the samples beyond 0.11.
#
# Give pydub files of 16 bits. csm reads both headers.
#
# Needs python3 with venv, and ffmpeg. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pydub==0.25.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import soundfile
from pydub import AudioSegment

print({name: version(name) for name in ("pydub", "soundfile")})
sine, told = 0.1 * np.sin(np.arange(24000) / 10), {}
for name, kind, subtype in (("plain", "WAV", "FLOAT"), ("extensible", "WAVEX", "FLOAT"),
                            ("plain mu-law", "WAV", "ULAW"), ("extensible mu-law", "WAVEX", "ULAW")):
    soundfile.write("sine.wav", sine, 24000, format=kind, subtype=subtype)
    assert np.abs(soundfile.read("sine.wav")[0] - sine).max() < 0.01
    segment = AudioSegment.from_file("sine.wav")
    samples = np.array(segment.get_array_of_samples()) / segment.max_possible_amplitude
    told[name] = (float(np.abs(samples).max()), float((np.abs(samples) > 0.11).mean()))
    print("{}: peak {:.3f}, beyond 0.11 {:.3f} of the samples".format(name, *told[name]))
sys.exit(not (all(told[k][0] < 0.11 for k in ("plain", "plain mu-law")) and
              all(told[k][0] > 0.4 and told[k][1] > 0.9 for k in ("extensible", "extensible mu-law"))))
PY
