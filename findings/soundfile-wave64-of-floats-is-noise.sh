#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soundfile 0.14.0 (libsndfile 1.2.2) takes a Wave64 file of 32-bit floats of 96 kHz or of more than two channels that
# FFmpeg wrote (PyAV 18.1.0) for 32-bit integers: the sound is noise at half of full scale, without an error or a
# warning. FFmpeg writes the format chunk in its extensible form then (version 5.1 for all floats), as it does for WAV,
# where libsndfile reads it right.
#
# Seen here: a tone of peak 0.25 at 96 kHz comes back with as many samples, subtype PCM_32, peak 0.57 and less signal
# than noise. The same samples in WAV and RF64 of FFmpeg, and in Wave64 of libsndfile, come back exactly.
#
# What helps: RF64 or FLAC, or FFmpeg itself to read (ffmpeg -i IN.w64 OUT.wav).
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
RATE = 96000
tone = (0.25 * np.sin(np.arange(RATE) / 20)).astype(np.float32)


def by_ffmpeg(name, container, options):
    with av.open(name, "w", format=container, options=options) as file:
        stream = file.add_stream("pcm_f32le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


by_ffmpeg("ffmpeg.w64", "w64", {})
by_ffmpeg("ffmpeg.wav", "wav", {})
by_ffmpeg("ffmpeg.rf64", "wav", {"rf64": "always"})
soundfile.write("libsndfile.w64", tone, RATE, subtype="FLOAT", format="W64")
seen = {}
for name in ("ffmpeg.w64", "ffmpeg.wav", "ffmpeg.rf64", "libsndfile.w64"):
    found, subtype = soundfile.read(name, dtype="float32")[0], soundfile.info(name).subtype
    noise = float(np.sum((found[:len(tone)] - tone).astype(float) ** 2))
    snr = 10 * np.log10(float(np.sum(tone.astype(float) ** 2)) / noise) if noise > 0 else np.inf
    seen[name] = subtype, len(found), snr
    print(f"{name}: {subtype}, {len(found)} samples, peak {np.abs(found).max():.2f}, signal to noise {snr:.0f} dB")
whole = all(seen[name] == ("FLOAT", RATE, np.inf) for name in seen if name != "ffmpeg.w64")
subtype, n, snr = seen["ffmpeg.w64"]
sys.exit(not (whole and subtype == "PCM_32" and n == RATE and snr < 0))
PY
