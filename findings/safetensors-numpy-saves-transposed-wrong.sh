#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# safetensors 0.8.0 (its Python package): safetensors.numpy.save and save_file write a transposed array in the order
# of its memory under the shape of the view. Nothing is refused, the file is valid, and its numbers stand in the wrong
# places. 0.5.3 wrote them right, and safetensors.torch refuses such a tensor. The docstring asks for "contiguous and
# dense" tensors, which a transposed array is (flags.f_contiguous).
#
# Seen here: [[0, 1, 2], [3, 4, 5]].T comes back as [[0, 1], [2, 3], [4, 5]] from 0.8.0, as itself from 0.5.3.
#
# Who turns weights between layouts (out, in against in, out) calls numpy.ascontiguousarray before saving.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
for version in 0.5.3 0.8.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install -q --disable-pip-version-check "safetensors==$version" numpy==2.4.6
    "venv-$version/bin/python" - <<'PY'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, load_file, save, save_file

weight = np.arange(6, dtype=np.float32).reshape(2, 3).T
in_memory = load(save({"weight": weight}))["weight"]
save_file({"weight": weight}, "weight.safetensors")
in_file = load_file("weight.safetensors")["weight"]
whole = load(save({"weight": np.ascontiguousarray(weight)}))["weight"]
print(f"safetensors {safetensors.__version__}: {weight.tolist()} comes back as {in_memory.tolist()}")
is_right = np.array_equal(in_memory, weight)
sys.exit(not (is_right == (safetensors.__version__ == "0.5.3") and np.array_equal(in_memory, in_file)
              and np.array_equal(whole, weight)))
PY
done
