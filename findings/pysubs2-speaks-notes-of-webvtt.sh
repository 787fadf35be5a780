#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pysubs2 1.8.1 reads WebVTT as SRT with other times: whatever stands between two lines of times is the text of the
# first. Comments (NOTE) and names of cues, which the format allows before each cue, become words of the cue before;
# only names that are numbers are left out. The escapes that the format demands (&amp;, &lt;) stay as they are, also in
# the SRT that it writes. webvtt-py reads the same file right.
#
# Seen here, a cue, a comment and a cue with a name: the first is "Hello." with the comment and the second's name, the
# second "Cats &amp; dogs".
#
# Captions that are trained on, or spoken, go through webvtt-py (but see webvtt-py-seconds-have-no-fraction.sh).
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pysubs2==1.8.1 webvtt-py==0.6.0
venv/bin/python - <<'PY'
import html
import sys
from importlib.metadata import version

import pysubs2
import webvtt

print({name: version(name) for name in ("pysubs2", "webvtt-py")})
with open("cues.vtt", "w") as file:
    file.write("WEBVTT\n\nintro\n00:01.500 --> 00:02.500\nHello.\n\nNOTE checked twice\n\n"
               "answer\n00:03.000 --> 00:04.000\nCats &amp; dogs\n\n3\n00:05.000 --> 00:06.000\nBye.\n")
cues = [event.plaintext for event in pysubs2.load("cues.vtt")]
right = [html.unescape(caption.text) for caption in webvtt.read("cues.vtt")]
print("pysubs2:", cues)
print("webvtt-py:", right)
srt = pysubs2.load("cues.vtt").to_string("srt")
print(srt)
sys.exit(not (cues == ["Hello.\n\nNOTE checked twice\n\nanswer", "Cats &amp; dogs", "Bye."]
              and "NOTE checked twice\nanswer\n" in srt and "Cats &amp; dogs" in srt
              and right == ["Hello.", "Cats & dogs", "Bye."]))
PY
