#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# librosa 0.11.0 and torchaudio 2.11.1: MFCCs of a batch of sounds are not those of each sound alone. Both document
# "(..., time)" for what comes in, and both cut the levels of all at 80 dB below the loudest of the batch, so that a
# quiet sentence beside a loud one has other coefficients. torchaudio tells of the cut in amplitude_to_DB, and cuts each
# sound by itself once a batch has a dimension for channels: [batch, 1, time]. librosa has no such way.
#
# Seen here: a soft voice (a peak of 0.0005, 60 dB softer than its neighbour) of [2, time]: coefficients differ by up
# to 276 in librosa's and 345 in torchaudio's from those alone; of [2, 1, time] in torchaudio's not at all.
#
# Take one sound at a time, or give top_db=None to power_to_db and make the coefficients from that.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 torchaudio==2.11.1 librosa==0.11.0 numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import librosa
import numpy as np
import torch
from torchaudio.transforms import MFCC

print({name: version(name) for name in ("librosa", "torchaudio", "torch")})
RATE = 24000
rng = np.random.default_rng(0)
time = np.arange(RATE) / RATE
soft = 0.0005 * np.sin(2 * np.pi * 300 * time) + 1e-6 * rng.standard_normal(RATE)
batch = np.stack([0.1 * rng.standard_normal(RATE), soft]).astype(np.float32)
by_librosa = float(np.abs(librosa.feature.mfcc(y=batch, sr=RATE)[1] - librosa.feature.mfcc(y=batch[1], sr=RATE)).max())
mfcc, sounds = MFCC(RATE), torch.from_numpy(batch)
alone = mfcc(sounds[1])
flat = float((mfcc(sounds)[1] - alone).abs().max())
channels = float((mfcc(sounds[:, None])[1, 0] - alone).abs().max())
print(f"a soft sound in a batch: librosa's MFCCs are up to {by_librosa:.1f} off, torchaudio's {flat:.1f}, and with a "
      f"dimension for channels {channels:.1f}")
sys.exit(not (by_librosa > 50 and flat > 20 and channels == 0))
PY
