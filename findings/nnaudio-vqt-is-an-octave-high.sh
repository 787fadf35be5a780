#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# nnAudio 0.3.4: VQT shows every tone an octave too high at 22.05 and 24 kHz, two octaves at 44.1 kHz, with its
# defaults: what it lowers the rate by beforehand (earlydownsample=True) is not taken from its frequencies. Tones of
# the upper octaves are not seen at all. At 16 kHz, where 72 bins leave no room for that, and with
# earlydownsample=False, it is right, as CQT1992v2 is.
#
# Seen here: 440 Hz, which is bin 45, is bin 57 of VQT at 22.05 and 24 kHz, bin 69 at 44.1 kHz.
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

import numpy as np
import torch
from nnAudio import features

print("nnAudio", version("nnAudio"))
seen = {}
for rate in (16000, 22050, 24000, 44100):
    tone = torch.tensor(np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate), dtype=torch.float32)[None]
    found = []
    for transform, options in ((features.VQT, {}), (features.VQT, {"earlydownsample": False}),
                               (features.CQT1992v2, {})):
        with contextlib.redirect_stdout(None):
            picture = transform(sr=rate, hop_length=256, n_bins=72, **options)(tone)[0]
        found.append(int(picture[:, picture.shape[1] // 2].argmax()))
    seen[rate] = found
    print("{} Hz: 440 Hz, bin 45, is bin {} of VQT, {} without earlydownsample, {} of CQT1992v2".format(rate, *found))
sys.exit(seen != {16000: [45, 45, 45], 22050: [57, 45, 45], 24000: [57, 45, 45], 44100: [69, 45, 45]})
PY
