#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tgt 1.5 (TextGridTools): of each line of a long TextGrid, the form that Praat saves by default, read_textgrid takes
# what stands between the first " = " and the second, and cuts a character at both ends for the quotes. A label that has
# " = " in it loses all from there on and one letter more; a label with one letter before it is gone with its interval.
# tgt reads its own files like this, too. The short form of the same TextGrid, and praatio, keep the labels.
#
# Seen here: "two = deux" comes back as "tw", "x = 5" not at all, and no error or warning.
#
# Labels are read with praatio or parselmouth, or the TextGrid is saved in the short form.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check tgt==1.5 praatio==6.2.2 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
import warnings
from importlib.metadata import version

import tgt
from praatio import textgrid

warnings.simplefilter("error")  # none comes
print({name: version(name) for name in ("tgt", "praatio")})
labels = ["one", "two = deux", "x = 5", "four"]
tier = tgt.IntervalTier(0, 4, "words")
for i, label in enumerate(labels):
    tier.add_interval(tgt.Interval(i, i + 1, label))
grid = tgt.TextGrid()
grid.add_tier(tier)
read = {}
for form in ("long", "short"):
    tgt.write_to_file(grid, form + ".TextGrid", format=form)
    read[form] = [interval.text for interval in tgt.read_textgrid(form + ".TextGrid").tiers[0]]
    print(f"{form} form by tgt:", read[form])
by_praatio = [e.label for e in textgrid.openTextgrid("long.TextGrid", False).getTier("words").entries]
print("long form by praatio:", by_praatio)
sys.exit(not (read["long"] == ["one", "tw", "four"] and read["short"] == by_praatio == labels))
PY
