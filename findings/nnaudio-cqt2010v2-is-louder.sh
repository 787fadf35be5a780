#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# nnAudio 0.3.4: CQT2010v2 is 3 dB louder than CQT1992v2 and librosa at 22.05 and 24 kHz, and 6 dB louder at 44.1 kHz,
# with its defaults. Its documentation says of what it lowers the rate by beforehand (earlydownsample=True) that the
# result is more or less the same with and without. At 16 kHz, where 72 bins leave no room for that, and with
# earlydownsample=False, all agree.
#
# Seen here: a tone of 440 Hz: +3.0 dB at 22.05 and 24 kHz, +6.0 dB at 44.1 kHz beside CQT1992v2; librosa and
# earlydownsample=False are within 0.1 dB.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check nnAudio==0.3.4 torch==2.13.0 librosa==0.11.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import contextlib
import sys
from importlib.metadata import version

import librosa
import numpy as np
import torch
from nnAudio import features

print("nnAudio", version("nnAudio"), "librosa", librosa.__version__)
seen = {}
for rate in (16000, 22050, 24000, 44100):
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    levels = []
    for transform, options in ((features.CQT2010v2, {}), (features.CQT2010v2, {"earlydownsample": False}),
                               (features.CQT1992v2, {})):
        with contextlib.redirect_stdout(None):
            picture = transform(sr=rate, hop_length=256, n_bins=72, **options)(torch.tensor(tone)[None])[0]
        levels.append(float(picture[45, picture.shape[1] // 2]))
    picture = np.abs(librosa.cqt(tone, sr=rate, hop_length=256, n_bins=72))
    levels.append(float(picture[45, picture.shape[1] // 2]))
    seen[rate] = [round(20 * float(np.log10(level / levels[2])), 1) for level in levels]
    print("{} Hz, dB beside CQT1992v2: CQT2010v2 {:+.1f}, without earlydownsample {:+.1f}, itself {:+.1f}, "
          "librosa {:+.1f}".format(rate, *seen[rate]))
loud = {rate: levels[0] for rate, levels in seen.items()}
sys.exit(not (loud == {16000: 0.0, 22050: 3.0, 24000: 3.0, 44100: 6.0} and
              all(abs(levels[1]) < 0.1 and abs(levels[3]) < 0.3 for levels in seen.values())))
PY
