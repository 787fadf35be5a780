#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mutagen 1.48.1: the length of a WAV file of ADPCM or GSM 6.10, as telephone systems record, is some hundred times too
# short. It divides the bytes by a block's bytes and takes blocks for samples. The header's fact chunk has the number of
# samples, which libsndfile and tinytag 2.3.2 give. mu-law, A-law and PCM are right.
#
# Seen here: 15 s at 8 kHz are 0.030 s as IMA and Microsoft ADPCM, 0.047 s as GSM 6.10, 15 s as mu-law.
#
# Corpora are filtered and sorted by such lengths. Take soundfile.info(path).duration.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check mutagen==1.48.1 tinytag==2.3.2 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import mutagen
import numpy as np
import soundfile
import tinytag

print("mutagen", mutagen.version_string, "tinytag", tinytag.__version__)
tone = 0.3 * np.sin(np.arange(120000) / 5)
seen = {}
for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "ALAW", "PCM_16"):
    soundfile.write("call.wav", tone, 8000, subtype=subtype)
    lengths = (mutagen.File("call.wav").info.length, tinytag.TinyTag.get("call.wav").duration,
               soundfile.info("call.wav").duration)
    seen[subtype] = round(lengths[0], 3), all(abs(x - 15) < 0.05 for x in lengths[1:])
    print(f"15 s of {subtype}: mutagen {lengths[0]:.3f}, tinytag {lengths[1]:.3f}, libsndfile {lengths[2]:.3f}")
sys.exit(seen != {"IMA_ADPCM": (0.03, True), "MS_ADPCM": (0.03, True), "GSM610": (0.047, True), "ULAW": (15, True),
                  "ALAW": (15, True), "PCM_16": (15, True)})
PY
