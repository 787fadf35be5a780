#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soxr 1.1.0: sound of 16-bit integers gets dither, which the package's documentation does not name and no argument
# turns off. So silence becomes noise of one step, equal channels come back unequal, and a stream (ResampleStream) gives
# other samples than the same sound whole. After clear(), "ready for fresh signal, same config", the noise goes on where
# it was, and the same pieces come back changed. Floats and 32-bit integers have no noise.
#
# Seen here: a second of zeros from 24 to 16 kHz: 3,733 of 16,000 samples are -1 or 1. A soft tone twice as stereo: the
# channels differ. In pieces of 20 ms two fifths of its samples differ from those of the whole.
#
# Digital silence no longer counts as such, and equal files have other hashes. Give it floats, and round.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import soxr

print("soxr", soxr.__version__, soxr.__libsoxr_version__)
PIECE = 480


def in_pieces(stream, sound):
    return np.concatenate([stream.resample_chunk(sound[i:i + PIECE], last=i + PIECE >= len(sound))
                           for i in range(0, len(sound), PIECE)])


tone, told = 3 * np.sin(np.arange(24000) / 10), {}
for dtype in (np.int16, np.int32, np.float32):
    silence = soxr.resample(np.zeros(24000, dtype), 24000, 16000)
    sound = tone.astype(dtype)
    channels = soxr.resample(np.stack([sound, sound], axis=1), 24000, 16000)
    stream = soxr.ResampleStream(24000, 16000, 1, dtype=np.dtype(dtype).name)
    once = in_pieces(stream, sound)
    stream.clear()
    told[dtype] = (np.count_nonzero(silence), np.count_nonzero(channels[:, 0] != channels[:, 1]),
                   np.count_nonzero(once != soxr.resample(sound, 24000, 16000)),
                   np.count_nonzero(once != in_pieces(stream, sound)))
    print("{}: of 16,000 samples {} of silence are not 0, {} differ between equal channels, {} between pieces and the "
          "whole, {} after clear()".format(np.dtype(dtype).name, *told[dtype]))
sys.exit(not (min(told[np.int16]) > 1000 and told[np.int32] == told[np.float32] == (0, 0, 0, 0)))
PY
