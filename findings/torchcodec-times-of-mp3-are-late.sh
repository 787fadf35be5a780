#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torchcodec 0.17.0 (over FFmpeg 8 as PyAV 18.1.0 carries it; the same over 5.1): in an MP3, get_samples_played_in_range
# gives other sound than the same seconds of get_all_samples, 1,105 samples earlier, and the first 46 ms of time have
# no sound. It leaves the encoder's delay out of the sound, and keeps it in the times. WAV and FLAC have no such shift.
# datasets decodes by torchcodec.
#
# Seen here: at 24 kHz the second from 1 s on is all_samples[22895:46895], from 0 s on it has 22,895 samples of 24,000;
# at 16 kHz the shift is 69 ms.
#
# Words cut by the times of a transcript of the whole begin 46 ms early and lose their end. Cut get_all_samples() by
# sample numbers.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchcodec==0.17.0 torch==2.14.1 av==18.1.0 soundfile==0.14.0 \
    numpy==2.4.6
carried=$(venv/bin/python -c 'import pathlib, av; print(pathlib.Path(av.__file__).parents[1] / "av.libs")')
mkdir ffmpeg
for file in "$carried"/libav* "$carried"/libsw*; do # by the names that torchcodec asks for: libavcodec.so.62
    name=$(basename "$file")
    major=${name#*.so.}
    ln -s "$file" "ffmpeg/${name%%-*}.so.${major%%.*}"
done
LD_LIBRARY_PATH=$place/ffmpeg:$carried venv/bin/python - <<'PY'
import sys

import av
import numpy as np
import soundfile
import torchcodec
from torchcodec.decoders import AudioDecoder

print("torchcodec", torchcodec.__version__, "PyAV", av.__version__, torchcodec.ffmpeg_major_version)
seen = {}
for name, rate in (("wav", 24000), ("flac", 24000), ("mp3", 24000), ("mp3", 16000)):
    noise = np.random.default_rng(0).standard_normal(4 * rate)
    soundfile.write("speech." + name, 0.1 * np.convolve(noise, np.ones(4) / 4, "same"), rate)
    decoder = AudioDecoder("speech." + name)
    whole = decoder.get_all_samples().data[0].numpy()
    first, second = (decoder.get_samples_played_in_range(at, at + 1).data[0].numpy() for at in (0, 1))
    middle = second[rate // 4:rate // 2]
    begin = int(np.correlate(whole[:2 * rate], middle, "valid").argmax()) - rate // 4
    seen[name, rate] = len(whole), len(first), len(second), begin - rate
    print(f"{name} of {rate} Hz: {len(whole)} samples; of the first second {len(first)}, of the second {len(second)}, "
          f"which are those from {begin} on")
sys.exit(seen != {("wav", 24000): (96000, 24000, 24000, 0), ("flac", 24000): (96000, 24000, 24000, 0),
                  ("mp3", 24000): (96000, 22895, 24000, -1105), ("mp3", 16000): (64000, 14895, 16000, -1105)})
PY
