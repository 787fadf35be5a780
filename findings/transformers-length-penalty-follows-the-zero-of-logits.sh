#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: exponential_decay_length_penalty, which is to end a text that grows too long, multiplies the
# absolute value of the end's logit. A constant added to all logits changes no probability, but it changes that value:
# where the end's logit comes to be 0, the penalty is 0 at any length, and near 0 it comes late. So models with the same
# probabilities end at other lengths, or never.
#
# Seen here: the same probabilities of 2,051 tokens, the end's among them 0.00004, the penalty (10, 1.1). The end
# becomes likelier than all other tokens together at 18 tokens if its logit is 10, at 36 if it is 1 or -1, at 59 if
# it is 0.1, and never if it is 0.
#
# End a text by max_new_tokens, or give generate a LogitNormalization of its own before that penalty.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from transformers import ExponentialDecayLengthPenalty

print({name: version(name) for name in ("transformers", "torch")})
END, LONGEST = 0, 2000
torch.manual_seed(0)
logits = torch.randn(1, 2051)
logits[0, END] = -2
likely = logits.softmax(-1)
lengths = {}
for value in (10, 1, 0.1, 0, -1, -10):
    moved = logits - logits[0, END] + value
    assert torch.allclose(moved.softmax(-1), likely, rtol=1e-4)
    penalty = ExponentialDecayLengthPenalty((10, 1.1), END, 0)
    lengths[value] = next((n for n in range(1, LONGEST) if
                           penalty(torch.zeros(1, n, dtype=torch.long), moved).softmax(-1)[0, END] > 0.5), None)
    when = f"after {lengths[value]} tokens" if lengths[value] else "never"
    print(f"the end's logit {value}, its probability {float(moved.softmax(-1)[0, END]):.5f}: it is likelier than all "
          f"others {when}")
sys.exit(not (lengths[0] is None and lengths[0.1] > lengths[1] > lengths[10] and lengths[1] == lengths[-1]))
PY
