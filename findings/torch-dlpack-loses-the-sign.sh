#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch 2.13.0: a tensor may be a view whose numbers count with the other sign (x.conj().imag is one; is_neg() says
# so). __dlpack__ refuses conjugated views ("Can't export tensors with the conjugate bit set") and hands these out
# with the sign left out: NumPy, MLX and torch itself read 1 for -1, without a word. Tensor.numpy() refuses them.
#
# Seen here: a view that prints [-1, -2, -3] is [1, 2, 3] by numpy.from_dlpack, mlx.core.array and torch.from_dlpack.
#
# Who hands tensors over by DLPack (as every sampler of logits in another library does) calls resolve_neg() first.
#
# Needs python3 with venv; installs torch, numpy, mlx. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6 'mlx[cpu]==0.32.4'
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import mlx.core as mx
import numpy as np
import torch

print("torch", torch.__version__, "numpy", np.__version__, "mlx", mx.__version__)
values = torch.tensor([1.0, 2.0, 3.0])
conjugate = torch.complex(values, values).conj()
view = conjugate.imag
read = {"torch prints": view.tolist(), "numpy.from_dlpack": np.from_dlpack(view).tolist(),
        "mlx.core.array": mx.array(view).tolist(), "torch.from_dlpack": torch.from_dlpack(view).tolist(),
        "numpy.from_dlpack of resolve_neg()": np.from_dlpack(view.resolve_neg()).tolist()}
for way, numbers in read.items():
    print(f"{way}: {numbers}")
refused = []
for what, call in ("numpy()", view.numpy), ("DLPack of the conjugate", lambda: np.from_dlpack(conjugate)):
    try:
        call()
    except (RuntimeError, BufferError) as error:
        refused.append(what)
        print(f"{what}: {error}")
right, wrong = [-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]
sys.exit(not (list(read.values()) == [right, wrong, wrong, wrong, right] and len(refused) == 2))
PY
