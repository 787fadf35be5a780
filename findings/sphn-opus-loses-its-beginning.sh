#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sphn 0.2.1 (kyutai's package): sphn.write_opus writes a pre-skip of 3,840 samples of 48 kHz, 80 ms, into OpusHead.
# The encoder was given no 80 ms of silence before the sound and delays it by some ms alone. Every reader that obeys
# the header (libopusfile, libsndfile, FFmpeg, browsers) drops the first 50 ms and more of what was said.
# sphn.read_opus does not obey it, so that a round trip within the package shows nothing. RFC 7845, 4.2: pre-skip is
# what is to be dropped.
#
# Seen here: a second of sound comes back as 0.94 s; a burst in its first 40 ms is gone; the same through
# sphn.read_opus is there.
#
# Opus from sphn is trimmed by its own reader only; csm writes the encoder's own delay as pre-skip.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check sphn==0.2.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import struct
import sys
from importlib.metadata import version

import numpy as np
import soundfile
import sphn

print({name: version(name) for name in ("sphn", "soundfile")}, soundfile.__libsndfile_version__)
sound = np.zeros(24000, dtype="float32")
sound[:960] = 0.3 * np.sin(np.arange(960) * 0.2)
sphn.write_opus("out.opus", sound, 24000)
head = open("out.opus", "rb").read()
(skip,) = struct.unpack_from("<H", head, head.index(b"OpusHead") + 10)
obeyed, rate = soundfile.read("out.opus")
own = sphn.read_opus("out.opus")[0]
energy = float(np.square(sound).sum() / 24000)
by_soundfile, by_sphn = np.square(obeyed).sum() / rate / energy, np.square(own).sum() / 48000 / energy
print(f"pre-skip {skip} of 48 kHz; soundfile: {len(obeyed) / rate} s, {by_soundfile:.3f} of the energy",
      f"| sphn: {own.shape[-1] / 48000} s, {by_sphn:.3f} of the energy")
sys.exit(0 if skip == 3840 and len(obeyed) < 23000 and by_soundfile < 0.1 and by_sphn > 0.8 else 1)
PY
