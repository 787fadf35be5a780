#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torchcrepe 0.0.24: hop_length is in samples of the given rate, says its documentation, but predict resamples to 16
# kHz and drops the fraction of the hop there, so of most rates and hops the frames lie closer together than asked,
# and there are more of them. The times drift away from the sound.
#
# Seen here: 24 kHz with a hop of 256, 22.05 kHz with 256 or the default hop, 44.1 kHz with 512: what happens at 18.00
# s is seen at 18.09 s, and 20 s have 7 or 8 frames more than the documented 1 + time // hop_length. At 16 kHz, or
# 44.1 kHz with a hop of 441, it is right.
#
# Resample to 16 kHz first, and give the hop there.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchcrepe==0.0.24 torch==2.13.0 torchaudio==2.11.1 numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import torch
import torchcrepe

print("torchcrepe", version("torchcrepe"))
seen = {}
for rate, hop in ((16000, 160), (44100, 441), (24000, 256), (44100, 512), (22050, 256), (22050, None)):
    # 200 Hz, and from second 18 on 400 Hz.
    time = np.arange(20 * rate) / rate
    sound = torch.tensor(np.sin(2 * np.pi * np.where(time < 18, 200, 400) * time), dtype=torch.float32)[None]
    pitch = torchcrepe.predict(sound, rate, hop, 50, 1000, "tiny", batch_size=512,
                               decoder=torchcrepe.decode.argmax)[0]
    step = (hop or rate // 100) / rate
    seen[rate, hop] = len(pitch) - (1 + int(20 / step + 1e-9)), round(int((pitch > 300).float().argmax()) * step, 2)
    print("{} Hz, hop {}: {:+} frames; what changes at 18.00 s changes at {:.2f} s".format(rate, hop, *seen[rate, hop]))
sys.exit(not (all(seen[key] == (0, 18.01) for key in ((16000, 160), (44100, 441))) and
              all(late >= 18.08 and more > 5 for key, (more, late) in seen.items() if key[1] not in (160, 441))))
PY
