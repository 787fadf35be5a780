#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# noisereduce 3.0.3: reduce_noise(stationary=True) of two channels takes what noise is from the mean of the channels.
# Noise that differs between them (two microphones, two preamplifiers) is quieter in the mean, so each channel's own
# noise lies above the threshold and stays. Documentation gives (channels, frames) as a shape of the input and says
# nothing of a mean; the maintainers say that the estimate is not shared between channels. A voice out of phase in the
# two channels is no longer in the estimate at all.
#
# Seen here: of white noise of 0.05 in each of two channels, 0.0086 remain in a channel, but 0.0016 if that channel is
# given alone: 15 dB less. The same with y_noise=, where the noise is given apart.
#
# Give the channels one by one.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check noisereduce==3.0.3 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import noisereduce
import numpy as np

print("noisereduce", version("noisereduce"))
RATE = 16000
draw = np.random.default_rng(0)
noise, apart = 0.05 * draw.standard_normal((2, 2, 3 * RATE))
more = {}
for name, given in (("the sound itself", [None, None]), ("y_noise", [apart, apart[0]])):
    both = noisereduce.reduce_noise(noise, RATE, stationary=True, y_noise=given[0])[0]
    alone = noisereduce.reduce_noise(noise[0], RATE, stationary=True, y_noise=given[1])
    more[name] = 20 * float(np.log10(both.std() / alone.std()))
    print("noise by {}: of {:.4f} remain {:.4f} with two channels, {:.4f} with one: {:.1f} dB".format(
        name, noise[0].std(), both.std(), alone.std(), more[name]))
twice = noisereduce.reduce_noise(np.stack([noise[0]] * 2), RATE, stationary=True)[0]
single = noisereduce.reduce_noise(noise[0], RATE, stationary=True)
print("both channels equal: as with one:", np.allclose(twice, single))
sys.exit(not (all(x > 10 for x in more.values()) and np.allclose(twice, single)))
PY
