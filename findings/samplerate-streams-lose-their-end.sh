#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# samplerate 0.2.4 (libsamplerate's Python package): a Resampler that is given a sound in pieces, the last one with
# end_of_input=True as documentation says, gives less than there is: the filter's delay stays inside, and further calls
# give nothing. Its room for the answer is the piece's length times the ratio, so the rest of the sound finds none.
# samplerate.resample, at once, and soxr's ResampleStream, in pieces, give all of it.
#
# Seen here: two seconds of noise, 24 to 48 kHz and back, in pieces of 20 ms: what comes is equal to the whole, but of
# 48 to 24 kHz 143 samples (6 ms) are missing, whatever the length of the pieces.
#
# Each piece of speech that ends (a sentence, a turn) loses its last milliseconds. Give it a piece of zeros as the last
# one, cut by hand, or use soxr, as csm does.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check samplerate==0.2.4 soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import samplerate
import soxr

print({name: version(name) for name in ("samplerate", "soxr")})
sound = np.random.default_rng(0).standard_normal(96000).astype(np.float32)
whole, lost = samplerate.resample(sound, 0.5, "sinc_best"), []
for piece in (960, 4800, 48000):
    starts = range(0, len(sound), piece)
    by_samplerate = samplerate.Resampler("sinc_best", channels=1)
    got = [by_samplerate.process(sound[i:i + piece], 0.5, end_of_input=i == starts[-1]) for i in starts]
    got += [by_samplerate.process(sound[:0], 0.5, end_of_input=True) for _ in range(3)]
    got = np.concatenate(got)
    by_soxr = soxr.ResampleStream(48000, 24000, 1, dtype="float32")
    all_of_it = sum(len(by_soxr.resample_chunk(sound[i:i + piece], last=i == starts[-1])) for i in starts)
    equal = np.array_equal(got, whole[:len(got)])
    print(f"pieces of {piece}: {len(got)} of {len(whole)} samples, equal so far: {equal}; soxr {all_of_it}")
    lost.append((len(whole) - len(got), equal, all_of_it))
sys.exit(not (len(whole) == 48000 and all(x == (143, True, 48000) for x in lost)))
PY
