# SPDX-License-Identifier: Apache-2.0
"""What a peer's program and compare.py say to each other, a line of JSON each: the peer, once it has
loaded, {"name", "version"}; then for each number of frames that it is told, what it measured."""

import json
import sys


def serve(name, version, measure):
    """measure(n_frames) gives milliseconds a frame, one or more."""
    say = lambda what: print(json.dumps(what), flush=True)
    say({"name": name, "version": version})
    for line in sys.stdin:
        say(measure(int(line)))
