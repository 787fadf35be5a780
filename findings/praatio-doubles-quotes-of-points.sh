#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# praatio 6.2.2: of a TextGrid in Praat's long format, the default of Praat, quotation marks in the labels of a point
# tier are read doubled. Saved and read again they are four. Labels of intervals are right, and so are points of the
# short format.
#
# Seen here: the point 'the "click"' is read as 'the ""click""', and after saving and reading once more as 'the
# click'.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check praatio==6.2.2 praat-parselmouth==0.4.7 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import parselmouth
from parselmouth.praat import call
from praatio import textgrid

print("praatio", version("praatio"), "Praat", parselmouth.PRAAT_VERSION)
LABEL = 'the "click"'
grid = call("Create TextGrid", 0, 1, "words marks", "marks")
call(grid, "Set interval text", 1, 1, LABEL)
call(grid, "Insert point", 2, 0.5, LABEL)
call(grid, "Save as text file", "long.TextGrid")
call(grid, "Save as short text file", "short.TextGrid")


def read(path):
    tiers = textgrid.openTextgrid(path, includeEmptyIntervals=True)
    return tiers.getTier("words").entries[0].label, tiers.getTier("marks").entries[0].label


seen = {"short": read("short.TextGrid"), "long": read("long.TextGrid")}
textgrid.openTextgrid("long.TextGrid", True).save("again.TextGrid", format="long_textgrid", includeBlankSpaces=True)
seen["long, again"] = read("again.TextGrid")
for name, (interval, point) in seen.items():
    print(f"{name}: interval {interval}, point {point}")
twice, four = LABEL.replace('"', '""'), LABEL.replace('"', '"' * 4)
sys.exit(seen != {"short": (LABEL, LABEL), "long": (LABEL, twice), "long, again": (LABEL, four)})
PY
