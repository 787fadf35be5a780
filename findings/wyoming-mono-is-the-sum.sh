#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# wyoming 1.10.2 (Home Assistant's protocol for voices): AudioChunkConverter(channels=1), which servers use to take any
# client's sound, adds the two channels instead of taking their mean. A voice that is alike on both sides, as most
# stereo recordings of one speaker are, comes out twice as loud, and what was above half of full scale is cut off flat.
# No message.
#
# Seen here: a stereo tone of 20,000 of 32,767 on both sides becomes mono with a third of its samples at the limit.
#
# Stereo references are made mono before they are sent; csm takes the mean itself.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check wyoming==1.10.2 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
from wyoming.audio import AudioChunk, AudioChunkConverter

print("wyoming", version("wyoming"))
tone = (20000 * np.sin(np.arange(24000) * 0.1)).astype("int16")
stereo = AudioChunk(rate=24000, width=2, channels=2, audio=np.repeat(tone, 2).tobytes())
mono = np.frombuffer(AudioChunkConverter(channels=1).convert(stereo).audio, dtype="int16")
at_limit = float(np.mean(np.abs(mono.astype(int)) >= 32767))
quiet = np.abs(tone.astype(int)) < 16000
doubled = bool(np.array_equal(mono[quiet], 2 * tone[quiet]))
print(f"{len(mono)} samples; below half of full scale doubled: {doubled}; at the limit: {at_limit:.0%}")
sys.exit(0 if doubled and at_limit > 0.2 else 1)
PY
