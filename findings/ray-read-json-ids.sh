#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ray Data 2.60.0, ray.data.read_json(path, lines=True), the way its documentation gives for JSON lines: strings that
# look like numbers become numbers. {"id": "007"} is read as 7.0, {"id": "1e3"} as 1000.0. Manifests of speech name their
# files by such ids, and the names are no longer there. pyarrow 26's reader keeps the strings.
#
# Seen here: ids "007", "1e3" come out as 7.0, 1000.0; pyarrow.json.read_json gives the strings.
#
# Who reads manifests with Ray reads lines as text (ray.data.read_text) and parses them (csm.ray.read_manifest).
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'ray[data]==2.60.0' pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
RAY_USAGE_STATS_ENABLED=0 venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import os
import sys

import pandas
import pyarrow.json
import ray
import ray.data

with open("in.jsonl", "w") as file:
    file.write('{"id": "007"}\n{"id": "1e3"}\n')
ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
by_ray = [row["id"] for row in ray.data.read_json(os.path.abspath("in.jsonl"), lines=True).take_all()]
by_arrow = pyarrow.json.read_json("in.jsonl")["id"].to_pylist()
print(f"ray {ray.__version__}, pandas {pandas.__version__}, pyarrow {pyarrow.__version__}")
print(f"ray.data.read_json: {by_ray}; pyarrow: {by_arrow}")
sys.exit(0 if by_arrow == ["007", "1e3"] and by_ray == [7, 1000] else 1)
PY
