#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# num2words 0.5.14: of a number between -1 and 0 the minus is not said. The sign is taken from the whole part, and the
# whole part of -0.5 is 0. So with floats, Decimal and strings, and in most of its languages (not in Italian).
#
# Seen here: -0.5 is "zero point five", as 0.5 is, -1.5 is "minus one point five"; the same in German, French, Spanish,
# Dutch, Portuguese, Russian, Japanese and Korean. Of money the minus is said: "minus zero dollars, fifty cents".
#
# Who makes text for speech out of numbers with it says the minus and gives it the absolute value. csm's own
# normalisation says "minus zero point five".
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check num2words==0.5.14
venv/bin/python - <<'PY'
import sys
from decimal import Decimal
from importlib.metadata import version

from num2words import num2words

print("num2words", version("num2words"))
for value in (-1.5, -0.5, 0.5, Decimal("-0.5"), "-0.5"):
    print(f"{value!r}: {num2words(value)}")
money = num2words(-0.5, to="currency", currency="USD")
print("-0.5 USD:", money)
same = [lang for lang in ("en", "de", "fr", "es", "nl", "pt", "ru", "ja", "ko", "it")
        if num2words(-0.5, lang=lang) == num2words(0.5, lang=lang)]
print("-0.5 and 0.5 are the same words in:", *same)
sys.exit(not (num2words(-1.5) == "minus one point five" and num2words(-0.5) == "zero point five" == num2words("-0.5") ==
              num2words(Decimal("-0.5")) and money.startswith("minus") and len(same) == 9))
PY
