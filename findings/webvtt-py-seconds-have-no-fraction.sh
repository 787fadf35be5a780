#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# webvtt-py 0.6.0: start_in_seconds and end_in_seconds of a caption, and total_length of the file, are whole seconds:
# the milliseconds are dropped, not rounded. The documentation does not say so. A caption's words are cut out of the
# sound up to a second early.
#
# Seen here: a caption from 1.900 s to 2.850 s is from 1 to 2, one from 0.100 to 0.990 s from 0 to 0.
#
# The milliseconds are there in start_time and end_time: in_milliseconds() / 1000 is right.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check webvtt-py==0.6.0
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import webvtt

print("webvtt-py", version("webvtt-py"))
TEXT = "WEBVTT\n\n00:00.100 --> 00:00.990\nhello\n\n00:01.900 --> 00:02.850\nworld\n"
captions = webvtt.from_string(TEXT)
seen = [(caption.start_in_seconds, caption.end_in_seconds) for caption in captions]
exact = [(one.start_time.in_milliseconds() / 1000, one.end_time.in_milliseconds() / 1000) for one in captions]
print("seconds", seen, "exactly", exact, "total_length", captions.total_length)
sys.exit(not (seen == [(0, 0), (1, 2)] and exact == [(0.1, 0.99), (1.9, 2.85)] and captions.total_length == 2))
PY
