#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ffmpeg 9.0.2 (of imageio-ffmpeg 0.8.1): `-ss T -t 2 -i speech.m4a`, AAC in MP4, gives sound from up to a packet after
# T, and as much less of it. Its documentation says that seeking is accurate where sound is decoded (-accurate_seek, on
# by default). The same options behind the input are exact, and so are both for WAV; ffmpeg 5.1.9 is exact for m4a too.
#
# Seen here, 2 s from 24 kHz: from 0.5 s it begins 12 ms late and lacks 12 ms, from 1 s 24 ms, from 1.5 s 36 ms.
#
# Words cut at their times lose their beginning. Put -ss after -i, or cut from PCM.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6
venv/bin/python - <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

print("ffmpeg", imageio_ffmpeg.get_ffmpeg_version())
RATE, SECONDS = 24000, 2
noise = np.random.default_rng(0).standard_normal(6 * RATE + 4)
noise = (0.1 * sum(noise[k:k + 6 * RATE] for k in range(4))).astype("<f4")


def ffmpeg(*options, given=None):
    """The float samples that ffmpeg writes to its output, or nothing for a file."""
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *options], check=True, input=given,
                          stdin=subprocess.DEVNULL if given is None else None, stdout=subprocess.PIPE)
    return np.frombuffer(told.stdout, "<f4")


def late(part, whole):
    """Samples by which a part begins after the whole, by their correlation within 0.1 s."""
    middle = part[RATE // 2:RATE]
    return max(range(-2400, 2401), key=lambda k: float(middle @ whole[RATE // 2 + k:][:len(middle)]))


seen = {}
for name, codec in (("wav", "pcm_s16le"), ("m4a", "aac")):
    given = ["-i", "speech." + name]
    ffmpeg("-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-", "-c:a", codec, given[1], given=noise.tobytes())
    out = ["-f", "f32le", "-"]
    whole = ffmpeg(*given, *out)
    for start in ("0.5", "1", "1.5"):
        at = round(float(start) * RATE)
        part_of = ["-ss", start, "-t", str(SECONDS)]
        for place, order in (("before -i", part_of + given), ("behind -i", given + part_of)):
            part = ffmpeg(*order, *out)
            seen[name, place, start] = late(part, whole[at:]), SECONDS * RATE - len(part)
            print(f"{name}, -ss {start} {place}: {1000 * seen[name, place, start][0] / RATE:.1f} ms late, "
                  f"{1000 * seen[name, place, start][1] / RATE:.1f} ms missing")
bad = {key: value for key, value in seen.items() if key[:2] == ("m4a", "before -i")}
sys.exit(list(bad.values()) != [(288, 288), (576, 576), (864, 864)] or
         any(value != (0, 0) for key, value in seen.items() if key not in bad))
PY
