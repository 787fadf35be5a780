#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whisper-normalizer 0.1.15 (Whisper's EnglishTextNormalizer, by which word error rates are made comparable): the unit
# behind the number 1 vanishes. "one dollar", "one percent", "one cent" and "$1" all become "one", where "$2" stays: the
# sign comes before the number, and then "$1" is written as a word without its sign. And "o" and "oh" are zeros always,
# also in "o'clock", and join the number before them.
#
# Seen here: "It costs one dollar." and "It costs one." are the same text, and so a word error rate of 0. "ten o'clock"
# is "100 clock", the same as "one hundred clock"; "Oh no." is "0 no".
#
# A recognizer that leaves out or makes up such words pays nothing. Look at the normalised texts, too, when sentences
# with times and prices are judged.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check whisper_normalizer==0.1.15 jiwer==4.0.0
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

print({name: version(name) for name in ("whisper_normalizer", "jiwer")})
normalized, as_seen = EnglishTextNormalizer(), []
for said, heard, rate in (("It costs one dollar.", "It costs one.", 0), ("It costs two dollars.", "It costs two.", 1),
                          ("It rose by one percent.", "It rose by one.", 0), ("It is $1.", "It is one cent.", 0),
                          ("It is ten o'clock.", "It is one hundred clock.", 0), ("Oh no.", "Zero no.", 0)):
    texts = [" ".join(normalized(text).split()) for text in (said, heard)]
    wrong = jiwer.wer(*texts)
    print(f"{said!r} is {texts[0]!r}, {heard!r} is {texts[1]!r}: a word error rate of {wrong:.2f}")
    as_seen.append((wrong > 0) == (rate > 0))
sys.exit(not all(as_seen))
PY
