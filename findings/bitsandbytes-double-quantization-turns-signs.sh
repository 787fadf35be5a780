#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bitsandbytes 0.50.2 on the CPU: quantize_4bit with compress_statistics, the default of Linear4bit ("double
# quantization"), keeps the largest weight of each block of 64 in 8 bits as its distance from the mean of all blocks.
# A block of much smaller weights gets back some other number, and it may be negative: then all of its weights have the
# wrong sign. Without compress_statistics each block is as good as any other.
#
# Seen here: normal weights of 0.02, every fourth row of them a thousand times smaller. Those rows come back 5 times as
# large, and a quarter of their weights with the wrong sign; of rows a hundred times smaller the error is 30 %. Without
# it the error of all rows is 9 %.
#
# Quantize layers whose rows differ much in size with compress_statistics=False.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check bitsandbytes==0.50.2 torch==2.13.0 numpy==2.4.6
CUDA_VISIBLE_DEVICES='' venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import bitsandbytes
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

print("bitsandbytes", bitsandbytes.__version__, "torch", torch.__version__)
print("compress_statistics of Linear4bit by default:", bitsandbytes.nn.Linear4bit(64, 64).weight.compress_statistics)
seen = {}
for smaller in (100, 1000):
    torch.manual_seed(0)
    weights = torch.randn(512, 512) * 0.02
    weights[::4] /= smaller
    for double in (False, True):
        back = dequantize_4bit(*quantize_4bit(weights, quant_type="nf4", compress_statistics=double))
        small, there = weights[::4], back[::4]
        seen[smaller, double] = [float(x) for x in (
            (there - small).norm() / small.norm(), there.norm() / small.norm(),
            (there.sign() * small.sign() < 0).float().mean(), (back - weights)[1::4].norm() / weights[1::4].norm())]
        print(f"rows {smaller} times smaller, compress_statistics={double}: their error is "
              "{:.0%}, they are {:.2f} times as large, {:.0%} have the wrong sign; "
              "error of the other rows {:.0%}".format(*seen[smaller, double]))
sys.exit(not (all(seen[x, False][0] < 0.1 and seen[x, False][2] == 0 for x in (100, 1000)) and
              seen[100, True][0] > 0.2 and seen[1000, True][0] > 2 and seen[1000, True][2] > 0.2))
PY
