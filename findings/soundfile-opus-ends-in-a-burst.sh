#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2): of a sound of some lengths, written as Ogg Opus, the last milliseconds are other
# sound, louder than what was written. libopus by PyAV writes the same sound with a right end. What is wrong is in the
# file: FFmpeg decodes the same from it.
#
# Seen here: a tone with a peak of 0.5 at 24 kHz: of 24,000 samples the last 5 ms have a peak of 0.81 and are 1.0 off,
# of 24,480 0.95 and 1.4; of 24,100 they are 0.06 off. By PyAV all are 0.01 off.
#
# Sound that is cut while it is loud ends in a click. csm writes Opus by libopusenc.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__, "PyAV", av.__version__)
RATE, END = 24000, 120


def by_soundfile(tone):
    soundfile.write("tone.ogg", tone, RATE, format="OGG", subtype="OPUS")


def by_pyav(tone):
    with av.open("tone.ogg", "w") as file:
        stream = file.add_stream("libopus", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def decoded():
    """By libsndfile, and by FFmpeg at 48 kHz of which every other sample is kept."""
    with av.open("tone.ogg") as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return soundfile.read("tone.ogg")[0], np.concatenate(frames)[::2]


off = {}
for n in (24000, 24480, 24100):
    tone = 0.5 * np.sin(np.arange(n) / 20)
    for write in (by_soundfile, by_pyav):
        write(tone)
        off[n, write] = [float(np.abs(x[n - END:n] - tone[-END:]).max()) for x in decoded()]
        peak = float(np.abs(decoded()[0][n - END:n]).max())
        print("{} samples written {}: the last 5 ms off by {:.2f}, by FFmpeg {:.2f}; their peak {:.2f}".format(
            n, write.__name__, *off[n, write], peak))
sys.exit(not (all(min(off[n, by_soundfile]) > 0.5 for n in (24000, 24480)) and max(off[24100, by_soundfile]) < 0.2 and
              all(max(off[n, by_pyav]) < 0.1 for n in (24000, 24480, 24100))))
PY
