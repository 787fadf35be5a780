#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pipecat-ai 1.14.0: the resampler that its TTS and transports use (create_stream_resampler) clears itself when more
# than 0.2 s lie between two pieces. What its filter still holds is thrown away, in the middle of a sentence, not only
# "stale history" as the docstring says. A server of speech that pauses once (a busy GPU, a slow network) loses 50 ms
# of sound for each pause, and the words after it come earlier by as much.
#
# Seen here: ten pieces of 80 ms, 24,000 to 16,000 Hz, flush() at the end: 12,800 samples; with one pause of 0.25 s
# 11,900.
#
# A pipeline that can pause runs at the server's own rate, or makes the resampler with clear_after_secs=None.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pipecat-ai==1.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import asyncio
import sys
from importlib.metadata import version

import numpy as np
from pipecat.audio.utils import create_stream_resampler

print("pipecat-ai", version("pipecat-ai"))
tone = (10000 * np.sin(np.arange(19200) / 10)).astype("int16").reshape(10, 1920)


async def resampled(pause, **options):
    resampler, samples = create_stream_resampler(**options), 0
    for i, piece in enumerate(tone):
        if i == 5:
            await asyncio.sleep(pause)
        samples += len(await resampler.resample(piece.tobytes(), 24000, 16000)) // 2
    return samples + len(await resampler.flush()) // 2


whole, paused = asyncio.run(resampled(0)), asyncio.run(resampled(0.25))
kept = asyncio.run(resampled(0.25, clear_after_secs=None))
print("samples:", whole, "| with a pause of 0.25 s:", paused, "| and clear_after_secs=None:", kept)
sys.exit(0 if whole == kept == 12800 and paused < 12000 else 1)
PY
