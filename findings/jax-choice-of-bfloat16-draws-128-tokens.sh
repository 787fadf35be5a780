#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# jax 0.10.2: jax.random.choice with probabilities p in bfloat16 or float16 looks up one uniform number of that type,
# and there are 128 of those in bfloat16 and 1,024 in float16. So no more than so many different tokens are ever drawn,
# whatever the key and the number of draws; all others have no chance. p in float32 is right, and replace=False as well.
#
# Seen here: 200,000 draws of 2,051 codes of equal probability give 128 different codes in bfloat16, 1,024 in float16,
# and all 2,051 in float32. Of a softmax of 2,051 normal logits of deviation 2 bfloat16 draws 99 codes and float16 433;
# those never drawn have a probability of 0.44 and 0.15 together.
#
# Take p to float32 before the draw.
#
# Needs python3 with venv; installs jax. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
CODES, DRAWS = 2051, 200000
key = jax.random.key(0)
soft = jax.nn.softmax(jax.random.normal(jax.random.key(1), (CODES,)) * 2)
told = {}
for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    seen = []
    for p in (jnp.full(CODES, 1 / CODES), soft):
        drawn = np.asarray(jax.random.choice(key, CODES, (DRAWS,), p=p.astype(dtype)))
        never = np.setdiff1d(np.arange(CODES), drawn)
        seen += [len(np.unique(drawn)), float(np.asarray(p)[never].sum())]
    told[dtype] = seen
    print("{}: of {} equal codes {} are drawn; of a softmax {}, and those never drawn have a probability of {:.3f} "
          "together".format(dtype.__name__, CODES, seen[0], *seen[2:]))
low, half = told[jnp.bfloat16], told[jnp.float16]
sys.exit(not (told[jnp.float32][0] == CODES and told[jnp.float32][3] < 0.001 and low[0] == 128 and low[2] <= 128 and
              low[3] > 0.3 and half[0] <= 1024))
PY
