#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# auraloss 0.4.0: the spectral convergence in STFTLoss and MultiResolutionSTFTLoss is one quotient of norms over the
# whole batch, not a mean of the sounds' own: what is quiet in a batch hardly counts, and a validation loss depends on
# the batch size. The paper it names divides the norms of one spectrogram. With reduction="mean" all other terms are
# means.
#
# Seen here: a loud sound that is equal and one 40 dB below that is another: the convergence of each is 0 and 0.66, of
# the batch 0.007. The log magnitude of the batch is the mean of both.
#
# Compute it one sound at a time, or switch it off by w_sc=0.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check auraloss==0.4.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import torch
from auraloss.freq import STFTLoss

print("auraloss", version("auraloss"))
torch.manual_seed(0)
said = torch.randn(2, 1, 24000) * torch.tensor([1, 0.01])[:, None, None]
heard = said.clone()
heard[1] = 0.01 * torch.randn(1, 24000)  # the quiet one is another sound
terms = {}
for name, options in (("spectral convergence", {"w_log_mag": 0}), ("log magnitude", {"w_sc": 0})):
    loss = STFTLoss(**options)
    apart = [float(loss(heard[k:k + 1], said[k:k + 1])) for k in (0, 1)]
    terms[name] = float(loss(heard, said)), sum(apart) / 2
    print(name, "of each sound", [round(one, 3) for one in apart], "of the batch of both", round(terms[name][0], 3))
convergence, magnitude = terms["spectral convergence"], terms["log magnitude"]
sys.exit(not (convergence[0] < convergence[1] / 20 and abs(magnitude[0] - magnitude[1]) < 1e-3))
PY
