#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch-audiomentations 0.12.0: Mix, "mixing it with another random sample from the same batch", draws the other one
# from the whole batch, the sound itself among them. Such a sound is mixed with itself: it only becomes louder, its
# target says that two are heard, and the signal-to-noise ratio that was asked for is that of a sound to its copy.
#
# Seen here: of a batch of 8 one sound in eight comes back as itself times 1.56 to 2; of a batch of one, every sound.
#
# Nothing fails, and a fraction 1/B of the mixtures is none. Mix with a batch that was rolled by one.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch-audiomentations==0.12.0 torch==2.13.0 torchaudio==2.11.1 \
    torch-pitch-shift==1.2.5 julius==0.2.8 librosa==0.11.0 numpy==2.4.6
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from torch_audiomentations.augmentations.mix import Mix

print({name: version(name) for name in ("torch-audiomentations", "torch")})
RATE, ROUNDS = 16000, 100
torch.manual_seed(0)
mix = Mix(min_snr_in_db=0.0, max_snr_in_db=5.0, p=1.0, output_type="tensor")


def louder_only(sounds):
    """The factor for each sound that came back as a multiple of itself."""
    mixed, factors = mix(sounds, sample_rate=RATE), []
    for before, after in zip(sounds, mixed):
        factor = float((before * after).sum() / before.square().sum())
        if float((after - factor * before).abs().max()) < 1e-5:
            factors.append(factor)
    return factors


factors = [f for _ in range(ROUNDS) for f in louder_only(0.1 * torch.randn(8, 1, RATE))]
share = len(factors) / (8 * ROUNDS)
print(f"batches of 8: {share:.3f} of the sounds came back as themselves times {min(factors):.2f} to {max(factors):.2f}")
alone = [f for _ in range(ROUNDS) for f in louder_only(0.1 * torch.randn(1, 1, RATE))]
print(f"batches of 1: {len(alone)} of {ROUNDS}")
sys.exit(not (0.08 < share < 0.17 and min(factors) > 1.5 and len(alone) == ROUNDS))
PY
