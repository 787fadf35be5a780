#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# polars 2.1.0: mean_horizontal and sum_horizontal of columns of 16 or 8 bits add in the columns' own type and wrap, so
# that a mean lies outside of what it is the mean of. sum down a column and list.sum and list.mean along a row count in
# 64 bits, which the documentation of sum promises "to prevent overflow issues".
#
# Seen here: two channels of int16 with 20,000 and 20,000 have the mean -12,768; 32 codebooks that all say 2,000 have
# the mean -48 and the sum -1,536. The mean of a list of the same numbers is 20,000 and 2,000.
#
# Mono from channels and statistics across codebooks: cast first (pl.all().cast(pl.Int32)).
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check polars==2.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
import polars as pl

print("polars", pl.__version__)
seen = {}
for what, rows in (("two channels", [[20000, 20000], [-20000, -20000]]), ("32 codebooks", [[2000] * 32])):
    table = pl.DataFrame(np.array(rows, np.int16), schema=[f"c{i}" for i in range(len(rows[0]))])
    along = table.select(pl.concat_list(pl.all()).alias("row"))["row"]
    seen[what] = {
        "mean_horizontal": table.mean_horizontal().to_list(),
        "list.mean": along.list.mean().to_list(),
        "sum_horizontal": table.sum_horizontal().to_list(),
        "list.sum": along.list.sum().to_list(),
        "mean_horizontal of Int32": table.select(pl.mean_horizontal(pl.all().cast(pl.Int32))).to_series().to_list(),
    }
    for how, numbers in seen[what].items():
        print(f"{what}, {rows[0][0]} each: {how} {numbers}")
sys.exit(list(map(list, map(dict.values, seen.values()))) != [
    [[-12768, 12768], [20000, -20000], [-25536, 25536], [40000, -40000], [20000, -20000]],
    [[-48], [2000], [-1536], [64000], [2000]]])
PY
