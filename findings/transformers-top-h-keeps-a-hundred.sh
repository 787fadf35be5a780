#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: top-H sampling (generate(top_h=...), TopHLogitsWarper) documents that it keeps as many tokens as
# the entropy asks for, with top_h as the share of it. It looks at the 100 likeliest tokens alone, and nowhere says so.
# The entropy is theirs, and no more than 100 are ever kept, even with top_h=1.
#
# Seen here: 2,051 equal logits (a codebook): top_h=1.0 keeps 100 of them, 0.9 90; the entropy of 0.9 would be that of
# 950 and more. Of 50 equal logits 1.0 keeps all.
#
# Codes of sound are spread over hundreds: take top_p or min_p there.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import math
import sys

import torch
import transformers
from transformers import TopHLogitsWarper

print("transformers", transformers.__version__, "torch", torch.__version__)
told = {}
for codes in (50, 2051):
    for top_h in (0.9, 1.0):
        logits = TopHLogitsWarper(top_h)(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, codes))
        told[codes, top_h] = int(torch.isfinite(logits).sum())
        print(f"{codes} equal logits, top_h={top_h}: {told[codes, top_h]} are kept; the entropy would be that of "
              f"{math.exp(top_h * math.log(codes)):.0f}")
sys.exit(not (told[2051, 1.0] <= 100 and told[2051, 0.9] <= 100 and told[50, 1.0] == 50))
PY
