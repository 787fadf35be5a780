#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# gradio 6.31.0 and streamlit 1.67.0: a sound of floats is divided by its own loudest sample before it is played or
# saved, also where it lies within -1 to 1. A whisper plays as loud as a shout, and where sound comes in pieces each
# piece is loud by itself, so that a pause between words becomes full noise. streamlit says nothing; gradio warns that
# it converts, not that it changes loudness. Arrays of 16-bit integers are left as they are.
#
# Seen here: a tone of 0.05 comes out at 1.00 from both; as 16-bit integers at 0.05 from gradio.
#
# A page that shows csm's sound gives 16-bit integers or the bytes of a file.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check gradio==6.31.0 streamlit==1.67.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import soundfile
from gradio import processing_utils
from streamlit.elements.media import _validate_and_normalize

print({name: version(name) for name in ("gradio", "streamlit")})
tone = (0.05 * np.sin(np.arange(24000) / 20)).astype("float32")
processing_utils.audio_to_file(24000, tone, "floats.wav", format="wav")
processing_utils.audio_to_file(24000, (tone * 32767).astype("int16"), "integers.wav", format="wav")
loudest = {name: float(np.abs(soundfile.read(f"{name}.wav")[0]).max()) for name in ("floats", "integers")}
by_streamlit = np.frombuffer(_validate_and_normalize(tone)[0], dtype="int16").astype(float) / 32768
loudest["streamlit"] = float(np.abs(by_streamlit).max())
print("loudest sample of a tone of 0.05:", {name: round(value, 3) for name, value in loudest.items()})
sys.exit(0 if loudest["floats"] > 0.99 and loudest["streamlit"] > 0.99 and loudest["integers"] < 0.06 else 1)
PY
