#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# jax 0.10.2: jax.scipy.signal.welch and csd document segments of 256 samples by default, as SciPy has them. Without
# nperseg they take the whole sound for one segment, up to any length: nothing is averaged, and the answer has another
# number of bins than SciPy's. With nperseg=256 the two agree.
#
# Seen here: a second of noise at 24 kHz: jax 12,001 bins, SciPy 129. The spectrum of white noise varies by 100 % in
# jax's and by 8 % in SciPy's. jax's is SciPy's with nperseg=24000.
#
# Give nperseg.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 numpy==2.4.6
JAX_PLATFORMS=cpu venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import jax.scipy.signal
import numpy as np
import scipy.signal

print({name: version(name) for name in ("jax", "scipy")})
RATE = 24000
noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)


def spectra(**settings):
    return [np.array(welch(noise, RATE, **settings)[1]) for welch in (jax.scipy.signal.welch, scipy.signal.welch)]


def varies(spectrum):
    inner = spectrum[2:-2]
    return float(inner.std() / inner.mean())


by_default, given, whole = spectra(), spectra(nperseg=256), scipy.signal.welch(noise, RATE, nperseg=RATE)[1]
for name, spectrum in zip(("jax", "scipy"), by_default):
    print(f"{name}: {len(spectrum)} bins, which vary by {varies(spectrum):.2f} of their mean")
equal = [np.allclose(a[1:], b[1:], rtol=1e-3, atol=0) for a, b in (given, (by_default[0], whole))]
print(f"equal with nperseg=256: {equal[0]}; jax's default is scipy's with nperseg={RATE}: {equal[1]}")
print("csd:", *(len(f(noise, noise, RATE)[1]) for f in (jax.scipy.signal.csd, scipy.signal.csd)), "bins")
sys.exit(not ([len(x) for x in by_default] == [RATE // 2 + 1, 129] and varies(by_default[0]) > 0.8 and
              varies(by_default[1]) < 0.2 and all(equal) and "default: 256" in jax.scipy.signal.welch.__doc__))
PY
