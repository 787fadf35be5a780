#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# FFmpeg (in PyAV 18.1.0; 5.1's ffmpeg -ss before -i too): after a seek into Opus the sound of the first 100 ms is not
# the file's. The decoder begins with the packet that holds the time asked for. Opus needs 80 ms before it (RFC 7845,
# section 4.6). libsndfile decodes those first, and its sound after a seek is the file's to the last bit.
#
# Seen here: six seconds of tones with a peak of 0.4, from 2.0 s on: the first 20 ms are up to 0.22 off in Ogg and 0.13
# in MP4, those behind 60 ms 0.07 and 0.03; a second later nothing. soundfile on the same Ogg file: nothing anywhere.
#
# A corpus that is cut out of long Opus files by seeks has a wrong beginning in each cut, and other codes. Seek 80 ms
# and more too early and drop what is before, or read from the start, as csm does.
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

print("PyAV", av.__version__, "soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
FROM_S = 2.0
time = np.arange(6 * 24000) / 24000
tones = 0.3 * np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2
tones += 0.1 * np.sin(2 * np.pi * 1230 * time + 5 * np.sin(4 * np.pi * time))


def decoded(path, from_s=None):
    """The sound from `from_s` on, sought or, without it, whole."""
    with av.open(path) as file:
        stream = file.streams.audio[0]
        if from_s is not None:
            file.seek(int(from_s / stream.time_base), stream=stream)
        frames = list(file.decode(stream))
    sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    begins = round(frames[0].pts * frames[0].time_base * 48000)
    return sound[max(0, round((from_s or 0) * 48000) - begins):]


told = {}
for container in ("ogg", "mp4"):
    path = "tones." + container
    with av.open(path, "w") as file:
        stream = file.add_stream("libopus", rate=48000, layout="mono")
        samples = np.interp(np.arange(6 * 48000) / 48000, time, tones).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    whole, sought = decoded(path), decoded(path, FROM_S)
    whole = whole[round(FROM_S * 48000):]
    off = np.abs(sought[:4800] - whole[:4800]).reshape(5, 960).max(axis=1)
    told[container] = off
    print(f"{container}: off by at most, in each 20 ms after the seek: {[round(float(x), 3) for x in off]}")
    print(f"{container}: a second later: {np.abs(sought[48000:96000] - whole[48000:96000]).max():.6f}")
whole, rate = soundfile.read("tones.ogg", dtype="float32")
with soundfile.SoundFile("tones.ogg") as file:
    file.seek(int(FROM_S * rate))
    by_soundfile = float(np.abs(file.read(rate, dtype="float32") - whole[int(FROM_S * rate):][:rate]).max())
print(f"soundfile, a second after the seek: off by at most {by_soundfile}")
sys.exit(not (told["ogg"][0] > 0.05 and told["mp4"][0] > 0.02 and by_soundfile == 0))
PY
