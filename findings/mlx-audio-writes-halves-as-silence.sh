#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx-audio 0.6.2: audio_io.write of samples in float16 writes silence. Floats of 32 and 64 bits are multiplied by
# 32,767; every other type is cast to 16-bit integers as it is, so that -1 to 1 becomes 0, and integers of 32 bits lose
# their upper half. Nothing is said. Models in float16 give such samples.
#
# Seen here: a sine with a peak of 0.5: from float32 a file with a peak of 0.5, from float16 (NumPy's and MLX's) 0. Of
# 32 bits the file holds noise with a peak of 1.0.
#
# Give it float32.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'mlx[cpu]==0.32.4' miniaudio==1.71 soundfile==0.14.0 numpy==2.4.6
venv/bin/pip install -q --disable-pip-version-check --no-deps mlx-audio==0.6.2
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
import soundfile
from mlx_audio import audio_io

mx.set_default_device(mx.cpu)
print({name: version(name) for name in ("mlx-audio", "mlx", "soundfile")})
sine, peaks = 0.5 * np.sin(np.arange(24000) / 10), {}
for name, samples in (("float32", sine.astype(np.float32)), ("float16", sine.astype(np.float16)),
                      ("mx.float16", mx.array(sine.astype(np.float32)).astype(mx.float16)),
                      ("int16", (sine * 2**15).astype(np.int16)), ("int32", (sine * 2**31).astype(np.int32))):
    audio_io.write("sine.wav", samples, 24000)
    written = soundfile.read("sine.wav")[0]
    peaks[name] = float(np.abs(written).max())
    print(f"{name}: a file of {len(written)} samples with a peak of {peaks[name]:.3f}")
sys.exit(not (all(abs(peaks[x] - 0.5) < 0.01 for x in ("float32", "int16")) and peaks["int32"] > 0.9 and
              peaks["float16"] == peaks["mx.float16"] == 0))
PY
