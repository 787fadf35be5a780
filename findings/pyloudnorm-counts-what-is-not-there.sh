#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pyloudnorm 0.2.0: the last block of 400 ms may run over the end of the sound by up to 50 ms, and is counted as if what
# is missing were silence. ITU-R BS.1770 leaves incomplete blocks out. So the loudness of one steady tone depends on its
# length.
#
# Seen here: a tone of 997 Hz: -23.05 LUFS at 0.40, 0.45 and 0.50 s, -23.27 at 0.46 s, -23.20 at 0.56 s, -23.11 at
# 1.06 s.
#
# Sentences that are brought to one loudness by it differ by 0.2 dB for their lengths. Cut to whole tenths of a second
# before it is measured.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyloudnorm==0.2.0 scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pyloudnorm

print("pyloudnorm", version("pyloudnorm"))
RATE = 48000
tone = 0.1 * np.sin(2 * np.pi * 997 * np.arange(2 * RATE) / RATE)
told = {ms: float(pyloudnorm.Meter(RATE).integrated_loudness(tone[:RATE * ms // 1000]))
        for ms in (400, 450, 460, 500, 560, 600, 1060, 1100)}
for ms, loudness in told.items():
    print(f"the first {ms} ms of a steady tone: {loudness:.2f} LUFS")
sys.exit(not (all(abs(told[ms] + 23.05) < 0.01 for ms in (400, 450, 500, 600, 1100)) and told[460] < -23.25 and
              told[560] < -23.18 and told[1060] < -23.09))
PY
