#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0): some filters that clean or shape speech give it late, with the times of the input. As much as
# they are late is missing at the end, for the length stays. No option changes it: afftdn
# and anlmdn (noise reduction), afftfilt, superequalizer. Others make up for theirs: speechnorm, dynaudnorm and adeclip
# are not late.
#
# Seen here, at 24 kHz: afftdn 25 ms late, anlmdn 8, afftfilt 128, superequalizer 170.6.
#
# Words found in cleaned speech do not lie at those times in the recording: cut the front off by the filter's delay,
# and put so much silence behind the sound before.
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
from fractions import Fraction

import av
import numpy as np

print("PyAV", av.__version__, "libavfilter", av.library_versions["libavfilter"])
RATE = 24000


def filtered(name, sound):
    """Sound after one filter, in frames of 20 ms, and the time of its first frame."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="mono")
    chain = [source, graph.add(name), graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink")]
    for one, next_one in zip(chain, chain[1:]):
        one.link_to(next_one)
    graph.configure()
    frames = []
    for at in [*range(0, len(sound), 480), None]:
        frame = None
        if at is not None:
            frame = av.AudioFrame.from_ndarray(sound[None, at:at + 480], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        source.push(frame)
        while True:
            try:
                frames.append(chain[-1].pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    return np.concatenate([x.to_ndarray()[0] for x in frames]), float(frames[0].time)


def late(y, x):
    """Samples by which y comes after x, by their correlation."""
    both = np.fft.irfft(np.fft.rfft(y, 2 * len(x)) * np.conj(np.fft.rfft(x, 2 * len(x))))
    return int(both.argmax())


noise = (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)
seen = {}
for name in ("afftdn", "anlmdn", "afftfilt", "superequalizer", "speechnorm", "dynaudnorm", "adeclip"):
    y, first = filtered(name, noise)
    seen[name] = late(y[:len(noise)], noise)
    print(f"{name}: {1000 * seen[name] / RATE:.1f} ms late; {len(y)} samples of {len(noise)}, the first at {first} s")
    if len(y) != len(noise) or first != 0:
        sys.exit(1)
sys.exit(seen != {"afftdn": 600, "anlmdn": 192, "afftfilt": 3072, "superequalizer": 4095,
                  "speechnorm": 0, "dynaudnorm": 0, "adeclip": 0})
PY
