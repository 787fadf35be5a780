#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hqq 0.2.8.post1: its Quantizer allows no step below 0.00005, whatever the number of bits and the type, to be safe in
# float16. A group of 8 bits is that coarse as soon as its weights lie within 0.0128, a group of 4 bits within 0.00075.
#
# Seen here: normal weights in groups of 64 and 8 bits, compute type float32. Of a deviation of 0.02 the error is 0.5 %,
# as it should be of any; of 0.001 1.4 %, of 0.0001 14 % (in 4 bits they should have 9 %), of 0.00002 89 %.
#
# Scale such weights up before, and the layer's result down.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check hqq==0.2.8.post1 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from hqq.core.quantize import Quantizer

print({name: version(name) for name in ("hqq", "torch")})
seen = {}
for bits in (8, 4):
    for deviation in (0.02, 0.001, 0.0001, 0.00002):
        torch.manual_seed(0)
        weights = torch.randn(512, 512) * deviation
        codes, meta = Quantizer.quantize(weights, nbits=bits, group_size=64, axis=1, device="cpu",
                                         compute_dtype=torch.float32)
        meta["compute_dtype"] = torch.float32
        seen[bits, deviation] = float((Quantizer.dequantize(codes, meta) - weights).norm() / weights.norm())
        print(f"{bits} bits, deviation {deviation}: error {seen[bits, deviation]:.1%}")
sys.exit(not (seen[8, 0.02] < 0.006 and seen[8, 0.001] > 0.01 and seen[8, 0.0001] > seen[4, 0.02] and
              seen[8, 0.00002] > 0.5))
PY
