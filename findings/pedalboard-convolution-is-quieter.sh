#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pedalboard 0.9.26: Convolution does not convolve with the impulse response that it is given, but with one that it
# scaled to a level of its own. Its documentation names the response and a mix, no scaling, and there is no way to
# leave it out.
#
# Seen here: with a single 1 as the response, which should give the sound back, the sound comes back 18 dB quieter; with
# a single 0.5 or a single 0.01 it comes back exactly as quiet. Of a room of two echoes the level is 18 dB below
# that of numpy.convolve plus the response's own.
#
# Rooms of different loudness become equally loud, and a microphone's or a channel's response loses its gain. Multiply
# what comes out by 8 times the root of the response's energy, or convolve with scipy.signal.fftconvolve.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pedalboard==0.9.26 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import pedalboard

print("pedalboard", pedalboard.__version__)
RATE = 24000
sound = (0.05 * np.random.default_rng(0).standard_normal(2 * RATE)).astype("float32")
middle, levels = slice(RATE // 2, RATE), {}
for name, taps in (("a single 1", {0: 1.0}), ("a single 0.5", {0: 0.5}), ("a single 0.01", {0: 0.01}),
                   ("an echo", {0: 1.0, 1200: 0.5})):
    response = np.zeros((1, 2400), "float32")
    for place, value in taps.items():
        response[0, place] = value
    got = pedalboard.Convolution(response, 1.0, RATE)(sound, RATE)
    expected = np.convolve(sound, response[0])[:len(sound)]
    like = float(np.corrcoef(got[middle], expected[middle])[0, 1])
    energy = 20 * float(np.log10(np.linalg.norm(response)))
    levels[name] = 20 * float(np.log10(got[middle].std() / expected[middle].std()))
    print(f"{name}: {levels[name]:.2f} dB against numpy.convolve (correlation {like:.4f}); "
          f"energy of the response {energy:.2f} dB")
    levels[name] += energy
print("level with the response's energy taken out:", {name: round(x, 2) for name, x in levels.items()})
sys.exit(not all(-18.2 < x < -17.9 for x in levels.values()))
PY
