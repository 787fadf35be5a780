#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0): sound that it writes losslessly as ALAC into CAF and reads again lacks its end. The last
# packet holds fewer than 4,096 samples; the reader takes off as many as it has fewer, as if it had been filled up. The
# file is whole, and the length that its header says is right. In MP4 (m4a) nothing is missing.
#
# Seen here: of 48,000 samples of 24 kHz 1,152 are missing (48 ms), of 43,009 2,047, of 41,000 none; what is
# there is exact.
#
# Who stores speech losslessly for Apple's devices puts ALAC into m4a, or takes FLAC.
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

print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"])


def back(samples, container):
    """The samples after a file of ALAC, and the length that the file says."""
    with av.open("sound", "w", format=container) as file:
        stream = file.add_stream("alac", rate=24000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.int32) << 16, format="s32p", layout="mono")
        frame.sample_rate, frame.pts = 24000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open("sound") as file:
        told = round(file.duration * 24000 / 1e6)
        samples = np.concatenate([x.to_ndarray().ravel() for x in file.decode(audio=0)])
    return samples >> 16, told  # FFmpeg encodes and decodes 32 bits


noise = np.random.default_rng(0).integers(-9000, 9000, 48137, dtype=np.int16)
missing = {}
for container in ("caf", "ipod"):
    for n in (48000, 43009, 41000):
        samples, told = back(noise[:n], container)
        missing[container, n] = n - len(samples)
        exact = np.array_equal(samples, noise[:len(samples)])
        print(f"{n} samples in {container}: {told} told, {len(samples)} read, these {'exact' if exact else 'changed'}")
        if told != n or not exact:
            sys.exit(1)
sys.exit(missing != {("caf", 48000): 1152, ("caf", 43009): 2047, ("caf", 41000): 0,
                     ("ipod", 48000): 0, ("ipod", 43009): 0, ("ipod", 41000): 0})
PY
