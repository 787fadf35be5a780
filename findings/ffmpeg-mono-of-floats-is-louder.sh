#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg's libswresample (in PyAV 18.1.0; so does ffmpeg -ac 1 of 5.1): stereo mixed down to mono is 1.41 times as loud
# when the result is floats as when it is integers, whatever the samples were. The channels are each multiplied by
# 0.707; for integers only is the sum brought back so that it cannot exceed the range. Floats may exceed 1 then.
# And mono made stereo is 3 dB quieter, in every format.
#
# Seen here: two channels of 0.9 each: mono of 16 bits 0.9, mono of floats 1.273, from samples of 16 bits and of floats
# alike. Mono of 0.9 made stereo: 0.636.
#
# Half of the loaders of this field ask FFmpeg for s16le, half for f32le: the same file is 3 dB louder for the second,
# and clips when it is written again. Take the mean of the channels yourself; csm does.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import av
import numpy as np

print("PyAV", av.__version__, av.library_versions["libswresample"])
FULL = {"s16p": 32768, "fltp": 1}


def mixed(channels, layout, made, to_format, to_layout):
    frame = av.AudioFrame.from_ndarray(channels, format=made, layout=layout)
    frame.sample_rate = 48000
    (got,) = av.AudioResampler(to_format, to_layout, 48000).resample(frame)
    return round(float(got.to_ndarray()[0, 100]) / FULL[to_format], 3)


told = {}
for made, dtype in (("s16p", np.int16), ("fltp", np.float32)):
    loud = np.full((2, 480), 0.9 * FULL[made]).astype(dtype)
    for result in FULL:
        down, up = mixed(loud, "stereo", made, result, "mono"), mixed(loud[:1], "mono", made, result, "stereo")
        told[made, result] = (down, up)
        print(f"{made} to {result}: stereo of 0.9 to mono {down}, mono of 0.9 to stereo {up}")
sys.exit(not all(told[a, "s16p"] == (0.9, 0.636) and told[a, "fltp"] == (1.273, 0.636) for a in FULL))
PY
