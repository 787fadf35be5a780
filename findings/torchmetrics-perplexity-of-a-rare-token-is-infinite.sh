#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torchmetrics 1.9.0: Perplexity takes the logarithm of a softmax, not a log-softmax. A token whose probability is too
# small for the type makes the perplexity of the whole text infinite: in float16 a logit 18 below the best is enough,
# in float32 it is 104. The cross entropy of the same logits is finite.
#
# Seen here: one token of 100 whose logit is 20 below the best: infinite in float16, 1.221 in bfloat16 and float32,
# which is right. One 110 below: infinite in float32, where 3.004 is right.
#
# Use exp of cross_entropy of the logits as float32.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import torch
import torchmetrics
from torchmetrics.text import Perplexity

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
target, seen = torch.tensor([[0] * 99 + [5]]), {}
for kind, gap in ((torch.float16, 12), (torch.float16, 20), (torch.bfloat16, 20), (torch.float32, 20),
                  (torch.float32, 110)):
    logits = torch.zeros(1, 100, 2051, dtype=kind)
    logits[..., 0] = gap
    perplexity = Perplexity()
    perplexity.update(logits, target)
    right = torch.nn.functional.cross_entropy(logits[0].float(), target[0]).exp()
    seen[kind, gap] = float(perplexity.compute())
    print(f"{kind}, one token of 100 whose logit is {gap} below: {seen[kind, gap]:.3f}, should be {float(right):.3f}")
infinite = {key for key, value in seen.items() if value == float("inf")}
sys.exit(infinite != {(torch.float16, 20), (torch.float32, 110)})
PY
