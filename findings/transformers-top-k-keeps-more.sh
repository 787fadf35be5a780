#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: top_k, by its documentation the number of tokens to keep, keeps all that tie with the last of
# them. A model in bfloat16 computes its logits in steps of 1/64 at 2 to 4 and 1/32 at 4 to 8, so ties are the rule.
# generate takes the logits to float32 only afterwards.
#
# Seen here: rows of 2,051 normal logits with a deviation of 2 in bfloat16, top_k=50: 39 % of the rows keep more than
# 50, up to 55. In float32 each row keeps 50.
#
# MLX's samplers keep exactly k, so the same logits have other candidates in two programs. csm draws as either does, by
# name.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from transformers import TopKLogitsWarper

print({name: version(name) for name in ("transformers", "torch")})
torch.manual_seed(0)
logits, kept = torch.randn(1000, 2051) * 2, {}
for dtype in (torch.bfloat16, torch.float32):
    row = logits.to(dtype).float()  # as generate gets them from a model of this type
    kept[dtype] = torch.isfinite(TopKLogitsWarper(top_k=50)(None, row)).sum(-1)
    print(f"{dtype}: kept of 2,051 by top_k=50: {kept[dtype].min()} to {kept[dtype].max()}; "
          f"more than 50 in {(kept[dtype] > 50).float().mean():.2f} of the rows")
sys.exit(not (kept[torch.bfloat16].max() > 52 and (kept[torch.bfloat16] > 50).float().mean() > 0.3 and
              bool((kept[torch.float32] == 50).all())))
PY
