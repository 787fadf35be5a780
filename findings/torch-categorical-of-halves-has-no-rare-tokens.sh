#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch 2.13.0: torch.distributions.Categorical(probs=...) cuts every probability at the epsilon of its type before it
# takes the logarithm: 0.0078 in bfloat16, 0.00098 in float16. So no token is rarer than that to log_prob and entropy,
# while sample() draws all tokens by their true probabilities. Categorical(logits=...) of the same model is right.
#
# Seen here: of 2,051 equal codes each has log_prob -4.84 in bfloat16 and -6.93 in float16, and the entropy is 4.84 and
# 6.93; all of them should be 7.63. By those log_probs the probabilities of all codes add up to 16 and 2. An end of
# speech with a probability of 0.001 has log_prob -4.84 in bfloat16 instead of -6.91, of Bernoulli as well.
#
# Scores and perplexities by such numbers are those of another model: give Categorical logits, or float32.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import math
import sys

import torch
from torch.distributions import Bernoulli, Categorical

print("torch", torch.__version__)
CODES = 2051
torch.manual_seed(0)
told = {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    equal = Categorical(probs=torch.full((CODES,), 1 / CODES, dtype=dtype))
    one, entropy = (float(x) for x in (equal.log_prob(torch.tensor(7)), equal.entropy()))
    total = float(equal.log_prob(torch.arange(CODES)).float().exp().sum())
    drawn = float((equal.sample((100000,)) < 100).float().mean())
    rare = torch.tensor(0.001, dtype=dtype)
    end = [float(x) for x in (Categorical(probs=torch.stack((1 - rare, rare))).log_prob(torch.tensor(1)),
                              Bernoulli(probs=rare).log_prob(torch.ones((), dtype=dtype)))]
    told[dtype] = one, entropy, total, drawn, *end
    print(f"{dtype}: of {CODES} equal codes log_prob {one:.2f} (should be {-math.log(CODES):.2f}), "
          f"entropy {entropy:.2f}, all probabilities add up to {total:.2f}; "
          f"100 codes are drawn with {drawn:.3f} (should be {100 / CODES:.3f}); "
          "of 0.001 Categorical says {:.2f}, Bernoulli {:.2f} (should be {:.2f})".format(*end, math.log(0.001)))
right, low, half = (told[x] for x in (torch.float32, torch.bfloat16, torch.float16))
sys.exit(not (abs(right[0] + 7.626) < 0.01 and abs(right[4] + 6.908) < 0.01 and abs(low[0] + 4.84) < 0.02 and
              low[2] > 15 and abs(half[0] + 6.93) < 0.02 and half[2] > 1.9 and abs(low[4] + 4.84) < 0.02 and
              abs(low[5] + 4.84) < 0.02 and all(abs(x[3] - 100 / CODES) < 0.005 for x in told.values())))
PY
