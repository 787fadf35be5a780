#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# spafe 0.3.3: hz2bark and bark2hz of "Traunmueller", one of the scales that its Bark features offer, are not each
# other's inverse, and hz2bark is a straight line: (26.28 f) / 1961 - 0.53. Traunmueller's formula is 26.81 f / (1960
# + f) - 0.53; spafe's documentation writes 26.81 f / (1 + 1960), its code has 26.28. "Terhardt" does not come back
# either (13.3 one way, 13 the other). The other four do.
#
# Seen here: 8,000 Hz are 106.7 Bark, where the formula gives 21.0, and 440 Hz come back as 553 Hz by "Traunmueller",
# as 451 Hz by "Terhardt".
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check spafe==0.3.3 scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

from spafe.utils.converters import bark2hz, hz2bark

print("spafe", version("spafe"))
back = {scale: round(float(bark2hz(hz2bark(440, scale), scale)), 1)
        for scale in ("Wang", "Tjomov", "Schroeder", "Zwicker", "Terhardt", "Traunmueller")}
print("440 Hz there and back:", back)
seen = {}
for hertz in (440, 2000, 8000):
    seen[hertz] = hz2bark(hertz, "Traunmueller")
    print(f"{hertz} Hz: {seen[hertz]:.2f} Bark, by the formula {26.81 * hertz / (1960 + hertz) - 0.53:.2f}")
wrong = abs(back.pop("Traunmueller") - 440) > 100 and abs(back.pop("Terhardt") - 440) > 10
sys.exit(not (seen[8000] > 100 and wrong and all(hertz == 440 for hertz in back.values())))
PY
