#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0; 5.1's ffmpeg too): Opus of 24, 16, 12 or 8 kHz that FFmpeg writes into an MP4 and reads again
# begins late. The edit list holds the pre-skip in units of the stream's rate, and as many samples of 48 kHz are
# dropped. At 48 kHz, and at all rates in Ogg and WebM, the sound is at its place.
#
# Seen here: a click at half a second of one: 24 kHz in MP4 3.25 ms late, 16 kHz 4.33 ms, 8 kHz 5.42 ms. 48 kHz in MP4
# and 24 kHz in Ogg and WebM: not late.
#
# Speech of CSM has 24 kHz. Put Opus into Ogg, as csm does, or ask the encoder for 48 kHz.
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


def late(container, rate):
    """Milliseconds between a click and where it is found again."""
    click = np.zeros((1, rate), dtype=np.float32)
    click[0, rate // 2] = 0.9
    with av.open("click", "w", format=container) as file:
        stream = file.add_stream("libopus", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(click, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open("click") as file:
        frames = list(file.decode(audio=0))
    sound = np.concatenate([x.to_ndarray()[0] for x in frames])
    return round((int(np.abs(sound).argmax()) / frames[0].sample_rate - 0.5) * 1000, 2)


told = {(container, rate): late(container, rate) for container, rate in
        (("mp4", 48000), ("mp4", 24000), ("mp4", 16000), ("mp4", 8000), ("ogg", 24000), ("webm", 24000))}
for (container, rate), ms in told.items():
    print(f"{rate} Hz in {container}: {ms} ms late")
sys.exit(not (all(told["mp4", rate] > 3 for rate in (24000, 16000, 8000)) and
              all(abs(told[x]) < 0.1 for x in (("mp4", 48000), ("ogg", 24000), ("webm", 24000)))))
PY
