#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# speechbrain 1.1.2: compute_amplitude, normalize and rescale document lengths as "a single dimension, [batch]". With
# that, compute_amplitude divides each sum by each length and gives a matrix [batch, batch] instead of [batch, 1], and
# normalize and rescale raise PyTorch's error of shapes. Lengths of [batch, 1] give what is meant.
#
# Seen here: two signals of 0.5, of 24,000 and 12,000 samples, padded: [[0.5, 1.0], [0.25, 0.5]]; with [batch, 1] 0.5
# and 0.5. rescale raises with [batch].
#
# Make lengths a column.
#
# Needs python3 with venv; installs torch. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check speechbrain==1.1.2 torch==2.13.0 torchaudio==2.11.1 numpy==2.4.6 \
    requests==2.34.2
rm -rf venv/lib/python3*/site-packages/torchaudio/lib # its Python is enough; these want a torch with CUDA
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from speechbrain.processing.signal_processing import compute_amplitude, rescale

print({name: version(name) for name in ("speechbrain", "torch")})
signals, lengths, errors = torch.full((2, 24000), 0.5), torch.tensor([24000, 12000]), []
signals[1, 12000:] = 0
by_batch, by_column = compute_amplitude(signals, lengths), compute_amplitude(signals, lengths[:, None])
print("levels with lengths [batch]:", by_batch.tolist(), "with [batch, 1]:", by_column.tolist())
try:
    rescale(signals, lengths, target_lvl=0.1)
except RuntimeError as error:
    errors.append(str(error))
    print("rescale with [batch]:", error)
column = rescale(signals, lengths[:, None], target_lvl=0.1)
print("rescale with [batch, 1]:", column[:, 0].tolist())
sys.exit(not (by_batch.tolist() == [[0.5, 1.0], [0.25, 0.5]] and by_column.tolist() == [[0.5], [0.5]] and errors and
              "Shape should be a single dimension, `[batch]`" in compute_amplitude.__doc__))
PY
