#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# wetext 0.1.8 (WeTextProcessing's text normalisation, lang="en", operator="tn"): "1990s" is read as a measure of
# seconds, where "90s" is "nineties". "100m" is minutes, and "1001" of anything is "ten zero one". A number sign before
# a number ("#1") raises an AssertionError without a text.
#
# Seen here: "In the 1990s we sang." is "In the one thousand nine hundred and ninety seconds we sang."; "He ran 100m."
# is "He ran one hundred minutes."; "1001 nights" is "ten zero one nights"; "She is #1." raises.
#
# Write decades, metres and number signs out before.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check wetext==0.1.8 kaldifst==1.8.3 contractions==0.1.73
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

from wetext import Normalizer

print("wetext", version("wetext"))
normalizer, as_seen = Normalizer(lang="en", operator="tn"), []
for text, seen in (("In the 90s we sang.", "nineties"), ("In the 1990s we sang.", "ninety seconds"),
                   ("He ran 100m.", "one hundred minutes"), ("He ran 10km.", "ten kilometers"),
                   ("1001 nights", "ten zero one nights"), ("She is #1.", AssertionError)):
    try:
        told = normalizer.normalize(text)
    except AssertionError as error:
        told = error
    print(f"{text!r} is {told!r}")
    as_seen.append(isinstance(told, seen) if isinstance(seen, type) else isinstance(told, str) and seen in told)
sys.exit(not all(as_seen))
PY
