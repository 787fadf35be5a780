#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: ClapFeatureExtractor says by is_longer which sounds of a batch are longer than ten seconds, and
# ClapModel (with fusion, as clap-htsat-fused) takes those through another path. If no sound of the batch is longer, the
# extractor marks one of them as longer all the same, drawn by numpy's global generator. So a short sound's embedding
# depends on who else is in the batch, and is another one from call to call; alone it is always "longer".
#
# Seen here, two sounds of half a second, 40 calls: now the first and now the second is longer, never none of them; with
# a sound of 25 s in the batch none of the short ones is. The features are the same each time, but a small model with
# random weights answers with two embeddings of the first sound, 30 degrees apart.
#
# Who scores speech or sounds by CLAP sets is_longer to False for what is shorter before the model sees it.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.13.0 numpy==2.4.6
venv/bin/python -W ignore - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import torch
from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor

print({name: version(name) for name in ("transformers", "torch", "numpy")})
noise = np.random.default_rng(0).normal(size=25 * 48000).astype(np.float32) * 0.1
half, other = noise[:24000], noise[24000:48000]
extract = ClapFeatureExtractor()


def longer(*sounds):
    features = extract(list(sounds), sampling_rate=48000, return_tensors="np")
    return tuple(bool(flag) for flag in np.ravel(features["is_longer"])), features["input_features"]


np.random.seed(0)
torch.manual_seed(0)
first = longer(half, other)[1]
draws = [longer(half, other) for _ in range(40)]
kinds = sorted({flags for flags, _ in draws})
same = all(np.array_equal(features, first) for _, features in draws)
alone = longer(half)[0]
with_long = {longer(half, other, noise)[0] for _ in range(5)}
print(f"two short sounds, 40 calls: {kinds}, the same features each time: {same}")
print(f"one short sound alone: {alone}; with 25 s beside them: {sorted(with_long)}")
model = ClapAudioModelWithProjection(ClapAudioConfig(
    depths=[1] * 4, num_attention_heads=[1] * 4, patch_embeds_hidden_size=8, hidden_size=64, projection_dim=8,
    enable_fusion=True)).eval()
with torch.no_grad():
    one, two = (model(input_features=torch.tensor(first), is_longer=torch.tensor(flags)[:, None]).audio_embeds[0]
                for flags in kinds)
angle = float(torch.rad2deg(torch.arccos(torch.cosine_similarity(one, two, dim=0))))
print(f"two embeddings of the first sound, {angle:.0f} degrees apart")
sys.exit(not (kinds == [(False, True), (True, False)] and same and alone == (True,)
              and with_long == {(False, False, True)} and angle > 1))
PY
