#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ffmpeg 9.0.2 (of imageio-ffmpeg 0.8.1): `-stream_loop 1 -i speech.mp3` puts a gap of other sound between the two
# times, where the file's tag says how to play it without one and one time alone is read exactly. It is so for MP3 of
# speech's rates (16 and 24 kHz, not 44.1 or 48) and for Opus in Ogg. WAV, FLAC and m4a are looped without a gap.
#
# Seen here: of 72,000 samples at 24 kHz two times are 144,529 as MP3 (22 ms more) and 144,156 as Opus (6.5 ms), as WAV
# and FLAC 144,000. The second time is late by as much; each further time adds the same.
#
# Sound that goes on, such as noise behind speech or music while one waits, clicks at each turn: loop WAV or FLAC.
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


def ffmpeg(*options, given=None):
    """The float samples that ffmpeg writes to its output, or nothing for a file."""
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *options], check=True, input=given,
                          stdin=subprocess.DEVNULL if given is None else None, stdout=subprocess.PIPE)
    return np.frombuffer(told.stdout, "<f4")


seen = {}
for name, codec, rate in (("wav", "pcm_s16le", 24000), ("flac", "flac", 24000), ("m4a", "aac", 24000),
                          ("mp3", "libmp3lame", 48000), ("mp3", "libmp3lame", 24000), ("mp3", "libmp3lame", 16000),
                          ("opus", "libopus", 24000)):
    noise = np.random.default_rng(0).standard_normal(3 * rate + 4)
    noise = (0.1 * sum(noise[k:k + 3 * rate] for k in range(4))).astype("<f4")
    file = "speech." + name
    ffmpeg("-f", "f32le", "-ar", str(rate), "-ac", "1", "-i", "-", "-c:a", codec, file, given=noise.tobytes())
    out = ["-i", file, "-f", "f32le", "-ar", str(rate), "-"]
    once, twice, thrice = ffmpeg(*out), ffmpeg("-stream_loop", "1", *out), ffmpeg("-stream_loop", "2", *out)
    middle = once[rate:2 * rate]
    gap = max(range(2400), key=lambda k: float(middle @ twice[len(once) + rate + k:][:rate]))
    seen[name, rate] = len(twice) - 2 * len(once), gap, len(thrice) - 3 * len(once)
    print(f"{name} of {rate} Hz: once {len(once)}, twice {len(twice)}, three times {len(thrice)} samples; "
          f"the second time {1000 * gap / rate:.1f} ms late")
sys.exit(seen != {("wav", 24000): (0, 0, 0), ("flac", 24000): (0, 0, 0), ("m4a", 24000): (0, 0, 0),
                  ("mp3", 48000): (0, 0, 0), ("mp3", 24000): (529, 529, 1058), ("mp3", 16000): (529, 529, 1058),
                  ("opus", 24000): (156, 156, 312)})
PY
