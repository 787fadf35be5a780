#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lhotse 1.33.0: CutSet.to_shar(fields={"recording": "original"}) does not keep the recording's bytes. It decodes them
# and encodes again with the default of the file's kind: WAV of float or 24 bits becomes 16 bits, what lies above 1 is
# cut off, an MP3 is compressed a second time. No message.
#
# Seen here: a float WAV whose largest sample is 1.3 comes back as PCM_16 with 1.0, and other samples up to 3.1e-5 off.
#
# Sounds whose bytes are checked later (csm synth's manifests hold a digest) are put into a tar as files.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check lhotse==1.33.0 \
    urllib3==2.6.3 soundfile==0.14.0 numpy==2.4.6 torch==2.14.1
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import glob
import io
import os
import sys
import tarfile
from importlib.metadata import version

import numpy as np
import soundfile
from lhotse import CutSet, Recording

print("lhotse", version("lhotse"))
sound = (np.random.default_rng(0).standard_normal(24000) * 0.1).astype("float32")
sound[5] = 1.3
soundfile.write("in.wav", sound, 24000, subtype="FLOAT")
os.mkdir("shar")
cuts = CutSet.from_cuts([Recording.from_file("in.wav").to_cut()])
cuts.to_shar("shar", fields={"recording": "original"}, verbose=False)
with tarfile.open(glob.glob("shar/recording.*.tar")[0]) as tar:
    (member,) = [m for m in tar.getmembers() if not m.name.endswith(".json")]
    stored = tar.extractfile(member).read()
with soundfile.SoundFile(io.BytesIO(stored)) as file:
    back, kind = file.read(dtype="float32"), file.subtype
rest = float(np.abs(np.delete(back - sound, 5)).max())
equal = stored == open("in.wav", "rb").read()
print(f"{member.name}: {kind}, bytes equal: {equal}, sample 5: {back[5]:.4f} of 1.3, others {rest:.1e}")
sys.exit(0 if kind == "PCM_16" and back[5] < 1.01 and 0 < rest < 1e-4 else 1)
PY
