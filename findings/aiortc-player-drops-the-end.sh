#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# aiortc 1.16.0: MediaPlayer, which its documentation gives for playing a file, drops the end of the sound: what is less
# than a frame of 20 ms, and of files that have another rate than 48 kHz what its resampler still holds. The resampler
# is never emptied.
#
# Seen here: of 1 s of 24 kHz come 980 ms, of 20 ms nothing, of 1.019 s 1,000 ms. 1 s of 48 kHz is whole.
#
# The last sound of an answer is cut. Put 40 ms of silence behind it.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiortc==1.16.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import asyncio
import sys
import wave

import aiortc
import av
import numpy as np
from aiortc.contrib.media import MediaPlayer
from aiortc.mediastreams import MediaStreamError

print("aiortc", aiortc.__version__, "PyAV", av.__version__)


async def played(rate, ms):
    """Milliseconds that come of a WAV file of so many."""
    with wave.open("speech.wav", "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.full(rate * ms // 1000, 9000, "<i2").tobytes())
    player, seconds = MediaPlayer("speech.wav"), 0
    try:
        while True:
            frame = await player.audio.recv()
            seconds += frame.samples / frame.sample_rate
    except MediaStreamError:
        return round(1000 * seconds)


seen = {}
for rate, ms in ((48000, 1000), (48000, 1019), (24000, 1000), (24000, 1019), (24000, 20), (8000, 1000)):
    seen[rate, ms] = asyncio.run(played(rate, ms))
    print(f"{ms} ms of {rate} Hz: {seen[rate, ms]} ms are played")
sys.exit(seen != {(48000, 1000): 1000, (48000, 1019): 1000, (24000, 1000): 980, (24000, 1019): 1000, (24000, 20): 0,
                  (8000, 1000): 980})
PY
