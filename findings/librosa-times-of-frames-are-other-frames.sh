#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# librosa 0.11.0: times_to_frames(frames_to_time(i)) is i - 1 for one frame in fifteen, and time_to_samples of
# samples_to_time is off by one for one sample in twenty. Both cut what rounding of doubles has left just below a whole
# number. Nothing says so: each is documented as the other's inverse conversion, without a word about rounding.
#
# Seen here: 5,000 frames at 24 kHz with a hop of 512: 329 come back one lower, at 16 kHz 48. Of the samples of a second
# 1,363 at 24 kHz, 2,743 at 48 kHz.
#
# Borders of words that are kept in seconds move by a frame. Round: np.rint(times * rate), and floor the hops.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check librosa==0.11.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import librosa
import numpy as np

print("librosa", librosa.__version__)
told, frames = {}, np.arange(5000)
for rate in (16000, 22050, 24000, 48000):
    back = librosa.time_to_frames(librosa.frames_to_time(frames, sr=rate), sr=rate)
    samples = np.arange(rate)
    again = librosa.time_to_samples(librosa.samples_to_time(samples, sr=rate), sr=rate)
    rounded = np.rint(librosa.samples_to_time(samples, sr=rate) * rate)
    told[rate] = (int((back != frames).sum()), int((again != samples).sum()), int((rounded != samples).sum()))
    print("{} Hz: {} of 5,000 frames and {} of a second's samples come back changed, rounded {}".format(
        rate, *told[rate]), "by", set((back - frames).tolist()) | set((again - samples).tolist()))
sys.exit(not (all(x[2] == 0 and x[0] > 20 for x in told.values()) and told[24000][0] > 200 and
              told[24000][1] > 1000 and told[48000][1] > 2000))
PY
