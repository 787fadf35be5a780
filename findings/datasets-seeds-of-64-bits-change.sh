#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# datasets 5.2.0 keeps unsigned numbers of 64 bits in its tables and changes them, without a word, where they come in
# and go out. Read from JSON lines, all seeds of a file are rounded to 53 bits as soon as one is 2^63 or more, even
# where the features say uint64. In NumPy's format a batch of them is negative, though one row alone is right.
#
# Seen here: the seed 9007199254740993 is read as 9007199254740992 beside one of 2^63, as itself beside a small one.
# 18446744073709551615 is that in with_format("numpy")[0], and -1 in with_format("numpy")[:].
#
# A seed repeats a sound only if all of its bits are kept: write it as a string, or keep it below 2^53.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
HF_HUB_OFFLINE=1 HF_HOME=$place/home venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import datasets
import numpy as np

print("datasets", datasets.__version__)
SEED = 9007199254740993
FEATURES = datasets.Features(id=datasets.Value("string"), seed=datasets.Value("uint64"))


def from_json(other, features=None):
    """The first of two seeds in JSON lines, as it is read."""
    with open(f"{other}.jsonl", "w") as file:
        file.write('{"id": "a", "seed": %d}\n{"id": "b", "seed": %d}\n' % (SEED, other))
    return datasets.load_dataset("json", data_files=f"{other}.jsonl", split="train", features=features)["seed"][0]


read = from_json(5), from_json(2**63), from_json(2**63, FEATURES)
print(f"{SEED} from JSON: {read[0]} beside 5, {read[1]!r} beside 2^63, {read[2]} with features of uint64")
rows = datasets.Dataset.from_dict({"seed": np.array([2**64 - 1, 2**63 + 5], np.uint64)}).with_format("numpy")
one, batch = rows[0]["seed"], rows[:]["seed"]
print(f"{2**64 - 1} in NumPy's format: {one} ({one.dtype}) as a row, {batch[0]} ({batch.dtype}) in a batch")
sys.exit(not (read == (SEED, float(SEED - 1), SEED - 1) and int(one) == 2**64 - 1 and int(batch[0]) == -1))
PY
