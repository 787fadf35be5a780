#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch 2.13.0 on the CPU: the first numbers of torch.randn depend on how many are drawn. Below 16 they are made one by
# one; from 16 on in blocks of 16; and where the length is no multiple of 16, the last 16 are drawn anew. So noise drawn
# in pieces is not the noise drawn whole from the same seed, and the shorter is not the beginning of the longer.
# Documentation names none of it. torch.rand has none of it; NumPy's standard_normal has none of it.
#
# Seen here: of one seed: randn(8) twice and randn(16) share no number of 16; randn(24) and randn(32) share 8
# of the first 24, randn(32) and randn(48) 32. randn(16) of float64 shares none with float32, randn(8) all.
#
# Pieces of noise (in diffusion, vocoders, dither) are multiples of 16, or are drawn whole and cut.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import numpy as np
import torch

print("torch", torch.__version__, "numpy", np.__version__)


def drawn(*lengths, draw=torch.randn, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.cat([draw(n, generator=generator, dtype=dtype) for n in lengths]).float()


def by_numpy(*lengths):
    generator = np.random.default_rng(0)
    return np.concatenate([generator.standard_normal(n) for n in lengths])


told = {}
for pieces, whole in (((8, 8), 16), ((24,), 32), ((32,), 48), ((16, 16), 32)):
    n = sum(pieces)
    told[pieces] = [int((drawn(*pieces, draw=draw) == drawn(whole, draw=draw)[:n]).sum())
                    for draw in (torch.randn, torch.rand)] + [int((by_numpy(*pieces) == by_numpy(whole)[:n]).sum())]
    print("{} beside {}: of {} numbers randn has {} in common, rand {}, NumPy's standard_normal {}".format(
        pieces, whole, n, *told[pieces]))
double = [int((drawn(n) == drawn(n, dtype=torch.float64)).sum()) for n in (8, 16)]
print("float32 and float64 have {} of 8 and {} of 16 in common".format(*double))
sys.exit(not (told[8, 8][0] < 4 and told[8, 8][1:] == [16, 16] and told[24,][0] < 16 and told[24,][1:] == [24, 24] and
              told[32,] == told[16, 16] == [32, 32, 32] and double[0] == 8 and double[1] < 4))
PY
