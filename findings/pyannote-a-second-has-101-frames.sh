#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pyannote.core 6.1.0: crop with mode="center" of a SlidingWindow or a SlidingWindowFeature takes the frames whose
# centres are closest to begin and end. Between two frames both are as close, and it takes the even one: of every
# second frame's own span it gives the neighbours too. A second cut out on the frames' borders has 100, 101 or 102
# frames, and for every second start begins one early.
#
# Seen here: frames of 10 ms: frame 2 gives [2], frame 3 gives [2, 3, 4]. Of 1,000 seconds 77 have 100 frames, 864
# have 101, 59 have 102, and 554 begin a frame early.
#
# Use fixed= for the number of frames, and begin at centres.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyannote-core==6.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from collections import Counter
from importlib.metadata import version

import numpy as np
from pyannote.core import Segment, SlidingWindow, SlidingWindowFeature

print("pyannote.core", version("pyannote-core"))
window = SlidingWindow(duration=0.01, step=0.01, start=0)
frames = {k: [int(frame) for frame in window.crop(window[k], mode="center")] for k in range(5)}
print("frames whose centre is in frame k:", frames)
scores = SlidingWindowFeature(np.arange(2000)[:, None], window)
lengths, begins = Counter(), Counter()
for start in range(0, 1000):
    second = scores.crop(Segment(start / 100, start / 100 + 1), mode="center")
    lengths[len(second)] += 1
    begins[int(second[0, 0]) - start] += 1
print("frames of a second, of 1000 starts:", dict(lengths), "its first frame beside the right one:", dict(begins))
sys.exit(not (frames == {0: [0], 1: [0, 1, 2], 2: [2], 3: [2, 3, 4], 4: [4]} and
              set(lengths) == {100, 101, 102} and begins[-1] > 400))
PY
