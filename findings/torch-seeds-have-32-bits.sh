#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch 2.13.0 on the CPU: torch.manual_seed and Generator.manual_seed document seeds of 64 bits, from -2^63 to
# 2^64 - 1, and initial_seed gives back all of them. The Mersenne twister behind is started with the lower 32 bits
# alone. So seeds that differ above are the same seed. NumPy's are whole.
#
# Seen here: 7, 2^32 + 7, 2^40 + 7 and 7 - 2^32 draw the same numbers; 8 draws others. To NumPy all five differ.
#
# Who gives each request a seed of its own (time in nanoseconds, a hash, request << 32) folds it to 32 bits first, so
# that none are equal by surprise.
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
told = {}
for seed in (7, 2**32 + 7, 2**40 + 7, 7 - 2**32, 8):
    generator = torch.Generator().manual_seed(seed)
    kept = generator.initial_seed() == seed % 2**64
    told[seed] = (tuple(torch.rand(4, generator=generator).tolist()),
                  tuple(np.random.default_rng(seed % 2**64).random(4)), kept)
    print(f"{seed}: torch {told[seed][0][0]:.6f}, NumPy {told[seed][1][0]:.6f}; initial_seed gives it whole: {kept}")
drawn, by_numpy = (len({x[k] for x in told.values()}) for k in (0, 1))
print(f"five seeds: {drawn} kinds of numbers by torch, {by_numpy} by NumPy")
sys.exit(not (drawn == 2 and by_numpy == 5 and told[7][0] != told[8][0] and all(x[2] for x in told.values())))
PY
