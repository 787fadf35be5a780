#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# aiortc 1.16.0: a mono voice sent as Opus, WebRTC's usual codec, is heard at 0.71 of its level (3 dB quieter) on both
# sides. aiortc turns mono into stereo before it encodes, and PyAV's resampler gives each side of stereo 0.71 of mono.
# The same voice sent as PCMU, or handed over as stereo with two equal channels, keeps its level.
#
# Seen here: a tone of level 0.300 is decoded to 0.212 by Opus from mono, to 0.299 by Opus from stereo, to 0.301 by PCMU
# from mono.
#
# Who serves a mono voice hands over frames of stereo.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiortc==1.16.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from fractions import Fraction

import aiortc
import av
import numpy as np
from aiortc.codecs.g711 import PcmuDecoder, PcmuEncoder
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

print("aiortc", aiortc.__version__, "PyAV", av.__version__)
RATE = 8000
tone = (0.3 * 32767 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.int16)


def level(encoder, decoder, layout):
    """The tone's amplitude in the first channel after a codec, without the first half second."""
    heard = []
    for at in range(0, len(tone), RATE // 50):
        one = tone[at:at + RATE // 50]
        interleaved = np.repeat(one, 2 if layout == "stereo" else 1)[None]
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        packets, timestamp = encoder.encode(frame)
        for packet in packets:
            for out in decoder.decode(JitterFrame(data=packet, timestamp=timestamp)):
                heard.append(out.to_ndarray().reshape(-1, len(out.layout.channels))[:, 0])
    heard = np.concatenate(heard) / 32767
    return round(float(np.sqrt(2) * heard[len(heard) // 4:len(heard) * 3 // 4].std()), 3)


seen = {}
for name, encoder, decoder, layout in (("Opus from mono", OpusEncoder, OpusDecoder, "mono"),
                                       ("Opus from stereo", OpusEncoder, OpusDecoder, "stereo"),
                                       ("PCMU from mono", PcmuEncoder, PcmuDecoder, "mono")):
    seen[name] = level(encoder(), decoder(), layout)
    print(f"{name}: 0.300 becomes {seen[name]:.3f}")
sys.exit(not (abs(seen["Opus from mono"] - 0.3 / np.sqrt(2)) < 0.01 and abs(seen["Opus from stereo"] - 0.3) < 0.01 and
              abs(seen["PCMU from mono"] - 0.3) < 0.01))
PY
