#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# noisereduce 3.0.3: reduce_noise() as it is by default (non-stationary) takes the noise floor of each moment from a
# mean over seconds, and counts 30,000 zeros that it puts before and behind the sound as measured silence. Towards both
# ends the floor comes out too low, and noise there passes for signal. padding is documented as what large time
# constants need; a larger one does not help.
#
# Seen here: 12 s of even white noise at 16 kHz: in the middle it is reduced by 47 dB, in the first quarter of a second
# by 17 dB, in the last by 22 dB, and only after 2 s by 35 dB. With the sound reversed before and behind itself, which
# is cut off afterwards, the same quarters are reduced by 48 dB.
#
# Every recording begins and ends with a breath of noise. Put the sound reversed at both ends, and cut it off
# afterwards.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check noisereduce==3.0.3 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import noisereduce
import numpy as np

print("noisereduce", version("noisereduce"))
RATE, SECONDS = 16000, 12
noise = 0.05 * np.random.default_rng(0).standard_normal(SECONDS * RATE)


def levels(kept):
    return {at: round(20 * float(np.log10(kept[int(at * RATE):][:RATE // 4].std() / 0.05)), 1)
            for at in (0, 0.5, 1, 2, 6, 10, 11, 11.75)}


default = levels(noisereduce.reduce_noise(noise, RATE))
print("dB left of the noise, by the second:", default)
print("with twice the padding:", levels(noisereduce.reduce_noise(noise, RATE, padding=60000)))
mirrored = np.concatenate([noise[::-1], noise, noise[::-1]])
around = levels(noisereduce.reduce_noise(mirrored, RATE)[len(noise):2 * len(noise)])
print("with the sound reversed at both ends:", around)
sys.exit(not (default[0] > default[6] + 20 and default[11.75] > default[6] + 20 and default[1] > default[6] + 10 and
              around[0] < default[0] - 20 and around[11.75] < default[11.75] - 20))
PY
