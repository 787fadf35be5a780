#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# webdataset 1.0.2: TarWriter takes keys that hold a dot and writes them as they are; the package's own reader ends a
# key at the first dot. "talk.1" and "talk.2" come back as one sample "talk" with the fields "1.wav" and "2.wav"; a
# step that asks for "wav" then finds nothing. Ids of speech corpora often have dots (a recording's name and a number).
# No message at either end.
#
# Seen here: two samples written, one read.
#
# csm.pack writes a dot as %2E (docs/CORPORA.md).
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import webdataset

print("webdataset", version("webdataset"))
with webdataset.TarWriter("out.tar") as tar:
    for key in ("talk.1", "talk.2"):
        tar.write({"__key__": key, "wav": key.encode()})
read = [{name: value for name, value in sample.items() if not name.startswith("__") or name == "__key__"}
        for sample in webdataset.WebDataset("out.tar", shardshuffle=False)]
print("written: talk.1, talk.2; read:", read)
sys.exit(0 if read == [{"__key__": "talk", "1.wav": b"talk.1", "2.wav": b"talk.2"}] else 1)
PY
