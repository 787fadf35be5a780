#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# safetensors 0.8.0: safe_open(...).get_slice(NAME), which looks like an array, takes other slices than NumPy and
# PyTorch do. rows[-1] is the last row, but rows[-1:] is an OverflowError; rows[0:99] of three rows is an error, where
# NumPy gives what there is; rows[2:1] is a SystemError of Python's own ("Negative size"), where NumPy gives none.
# rows[::2] works.
#
# Who reads shards of a large tensor by slices counts from the start, and cuts to the shape (get_shape()) before.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import safetensors
from safetensors.numpy import save_file

array = np.arange(12, dtype=np.float32).reshape(3, 4)
save_file({"rows": array}, "rows.safetensors")
print("safetensors", safetensors.__version__)
seen = {}
with safetensors.safe_open("rows.safetensors", "np") as file:
    rows = file.get_slice("rows")
    for text in "rows[-1]", "rows[::2]", "rows[-1:]", "rows[0:99]", "rows[2:1]":
        right = eval(text, {"rows": array})
        try:
            seen[text] = "as NumPy" if np.array_equal(eval(text), right) else "other rows"
            print(f"{text}: {seen[text]}")
        except Exception as error:
            seen[text] = type(error).__name__
            print(f"{text}: {seen[text]}: {error}; NumPy: shape {right.shape}")
sys.exit(seen != {"rows[-1]": "as NumPy", "rows[::2]": "as NumPy", "rows[-1:]": "OverflowError",
                  "rows[0:99]": "SafetensorError", "rows[2:1]": "SystemError"})
PY
