#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pedalboard 0.9.26: Reverb's dry_level of 1.0 is not the sound as it was but twice that, +6 dB, and 0.5 is the sound as
# it was. Documentation calls the effect simple and says nothing of the levels; Chorus(mix=0) and Delay(mix=0) leave
# the sound alone. A voice leaves full scale without any reverberation.
#
# Seen here: Reverb(wet_level=0, dry_level=1) gives every sample doubled, 0.6 becomes 1.2; dry_level=0.5 gives the very
# samples, the default of 0.4 gives 0.8 of them.
#
# Reverb with as much dry sound as possible clips when it is written. Take half of the level that is wanted.
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
sound = np.random.default_rng(0).uniform(-0.6, 0.6, RATE).astype("float32")
factors = {}
for level in (1.0, 0.5, 0.4, 0.25):
    heard = pedalboard.Reverb(wet_level=0.0, dry_level=level)(sound, RATE)[RATE // 2:]  # levels are reached smoothly
    ratio = heard / sound[RATE // 2:]
    factors[level] = float(np.median(ratio))
    print("dry_level {}: every sample times {:.4f} to {:.4f}; largest {:.2f}".format(
        level, float(ratio.min()), float(ratio.max()), float(np.abs(heard).max())))
others = {name: bool(np.allclose(effect(sound, RATE), sound)) for name, effect in (
    ("Chorus(mix=0)", pedalboard.Chorus(mix=0)), ("Delay(mix=0)", pedalboard.Delay(mix=0)))}
print("left alone by", others)
sys.exit(not (all(abs(factor - 2 * level) < 1e-4 for level, factor in factors.items()) and all(others.values())))
PY
