#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx-lm 0.32.2 (its make_sampler is that of csm-mlx; mlx-audio has a copy): top_p and min_p are measured on the
# probabilities at temperature 1, the temperature comes after them. transformers' order is temperature first. So the
# same pair of numbers leaves other tokens to draw from, more of them below temperature 1 and fewer above. No message.
#
# Seen here, probabilities .4 .2 .15 .1 .08 .07: top_p 0.7 leaves three tokens at every temperature, transformers two
# at 0.5, three at 1 and four at 2; min_p 0.3 leaves three, transformers one, three and six.
#
# A comparison of draws across the two needs temperature 1, top-k alone, or the order restated.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check mlx-lm==0.32.2 \
    'mlx[cpu]==0.32.4' transformers==5.24.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
import torch
from mlx_lm.sample_utils import make_sampler
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopPLogitsWarper

logits = np.log([0.4, 0.2, 0.15, 0.1, 0.08, 0.07]).astype("float32")
print("mlx-lm", version("mlx-lm"), "transformers", version("transformers"))
kept = {}
for temperature in (0.5, 1.0, 2.0):
    for options, warper in (({"top_p": 0.7}, TopPLogitsWarper(0.7)), ({"min_p": 0.3}, MinPLogitsWarper(0.3))):
        mx.random.seed(0)
        drawn = make_sampler(temp=temperature, **options)(mx.array(np.tile(logits, (4000, 1)))).tolist()
        scores = warper(None, TemperatureLogitsWarper(temperature)(None, torch.tensor(logits)[None]))
        kept[temperature, *options] = len(set(drawn)), int(torch.isfinite(scores).sum())
        print("temperature", temperature, options, "tokens left: mlx-lm, transformers:", kept[temperature, *options])
sys.exit(0 if list(kept.values()) == [(3, 2), (3, 1), (3, 3), (3, 3), (3, 4), (3, 6)] else 1)
PY
