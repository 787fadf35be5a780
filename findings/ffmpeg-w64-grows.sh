#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0; 5.1's ffmpeg too): a W64 file that it writes holds up to 7 bytes more of sound than it was
# given. Chunks of W64 end at multiples of 8 bytes; FFmpeg counts the filling as sound, so that all readers give it.
# W64 of libsndfile has the right count.
#
# Seen here: 48,001 samples of 16 bits come back as 48,004, by FFmpeg and by libsndfile; written by libsndfile as
# 48,001 by both. Each time that such a file is appended to another the pieces move by up to 3 samples.
#
# Long recordings with times go into RF64 (FFmpeg's -rf64 auto) or FLAC.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile

print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"], "libsndfile",
      soundfile.__libsndfile_version__)


def by_ffmpeg(samples, container):
    with av.open("sound." + container, "w", format=container) as file:
        stream = file.add_stream("pcm_s16le", rate=24000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 24000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def by_libsndfile(samples, container):
    soundfile.write("sound." + container, samples, 24000, subtype="PCM_16")


def lengths(container):
    """Samples that FFmpeg reads, and that libsndfile reads."""
    with av.open("sound." + container) as file:
        return sum(x.samples for x in file.decode(audio=0)), len(soundfile.read("sound." + container)[0])


tone = (9000 * np.sin(np.arange(48003) / 20)).astype(np.int16)
seen = {}
for write, container in ((by_ffmpeg, "w64"), (by_libsndfile, "w64"), (by_ffmpeg, "wav")):
    for n in (48000, 48001, 48003):
        write(tone[:n], container)
        seen[write, container, n] = lengths(container)
        print(f"{n} samples in {container} {write.__name__}: read by FFmpeg and libsndfile", seen[write, container, n])
sys.exit(not (seen[by_ffmpeg, "w64", 48000] == (48000, 48000) and
              seen[by_ffmpeg, "w64", 48001] == seen[by_ffmpeg, "w64", 48003] == (48004, 48004) and
              all(seen[write, container, n] == (n, n) for write, container, n in seen
                  if (write, container) != (by_ffmpeg, "w64"))))
PY
