#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: Wav2Vec2FeatureExtractor brings sounds to mean 0 and variance 1 (do_normalize=True). With
# return_attention_mask=False, its default and what its documentation asks for with wav2vec2-base-960h and its kin, it
# does so after padding, zeros counted: a short sound in a batch becomes louder than alone, and where it has an offset,
# its padding is no longer 0, as the same documentation says it should be. With return_attention_mask=True it is right.
#
# Seen here: a sound of a quarter of the longest: a deviation of 2.00 in the batch and 1.00 alone. With an offset of
# half its deviation the padding is -0.23.
#
# A recognizer that judges speech in batches hears other levels than one at a time. Take the mask, and leave it out of
# what the model gets.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import numpy as np
import transformers
from transformers import Wav2Vec2FeatureExtractor

print("transformers", transformers.__version__)
RATE, LONG, SHORT = 16000, 24000, 6000
sound = 0.1 * np.random.default_rng(0).standard_normal(LONG)
told = {}
for mask in (None, True):
    extractor = Wav2Vec2FeatureExtractor(**({} if mask is None else {"return_attention_mask": mask}))

    def values(sounds, extractor=extractor):
        return extractor(sounds, sampling_rate=RATE, padding=True, return_tensors="np").input_values[-1]

    told[mask] = (float(values([sound, sound[:SHORT]])[:SHORT].std()), float(values([sound[:SHORT]]).std()),
                  float(values([sound, sound[:SHORT] + 0.05])[SHORT:].mean()))
    print("return_attention_mask={}: a short sound has a deviation of {:.2f} in a batch, of {:.2f} alone; with an "
          "offset its padding is {:.2f}".format("False by default" if mask is None else mask, *told[mask]))
sys.exit(not (told[None][0] > 1.9 and abs(told[None][1] - 1) < 0.01 and told[None][2] < -0.1 and
              abs(told[True][0] - 1) < 0.01 and told[True][2] == 0))
PY
