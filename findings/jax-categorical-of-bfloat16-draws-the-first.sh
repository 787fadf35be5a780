#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# jax 0.10.2: jax.random.categorical of logits in bfloat16 makes its noise in bfloat16, which has 128 values and ends
# at 4.8. So the largest is most often a tie, and ties go to the lowest index: of a codebook's 2,051 codes the upper
# half is all but never drawn. Documentation tells of a bias below a probability of 1e-7 in float32, and of nothing
# else. mode="high" draws evenly, and so do PyTorch's multinomial and mlx.random.categorical of bfloat16.
#
# Seen here: 20,000 draws of 2,051 equal logits: in float32 and with mode="high" half of them below 1,025, in bfloat16
# 99.95 %, and the first ten codes 16 times as often as is right; in float16 73 %. An answer of 1 in 10,000: of
# 4,000,000 draws 406 in float32, 274 in bfloat16, none in float16.
#
# choice and bernoulli of probabilities in bfloat16 have the same noise: of 2,051 equal codes choice draws 128 alone,
# and bernoulli draws 1 in 10,000 78 times as often as is right.
#
# Take logits to float32 before a draw, as csm does.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu venv/bin/python - <<'PY'
import sys

import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
CODES, DRAWS = 2051, 20000
lower, first, rare = {}, {}, {}
for dtype, mode in ((jnp.float32, None), (jnp.bfloat16, None), (jnp.float16, None), (jnp.bfloat16, "high")):
    name = (dtype.__name__, mode)
    drawn = np.array(jax.random.categorical(jax.random.key(0), jnp.zeros((DRAWS, CODES), dtype), mode=mode))
    lower[name], first[name] = float((drawn < CODES // 2).mean()), float((drawn < 10).mean() * CODES / 10)
    logits = jnp.log(jnp.array([1 - 1e-4, 1e-4])).astype(dtype)
    rare[name] = int(jax.random.categorical(jax.random.key(1), logits, shape=(4000000,), mode=mode).sum())
    print(f"{name}: below {CODES // 2}: {lower[name]:.4f} of the draws; the first ten {first[name]:.1f} times as often "
          f"as is right; 1 in 10,000: {rare[name]} of 4,000,000")
codes, chances = jnp.full(CODES, 1 / CODES, jnp.bfloat16), jnp.array(1e-4, jnp.bfloat16)
chosen = len(np.unique(np.array(jax.random.choice(jax.random.key(0), CODES, (DRAWS,), p=codes))))
often = float(jax.random.bernoulli(jax.random.key(0), chances, (4000000,)).mean())
print(f"bfloat16: choice draws {chosen} of {CODES} codes; bernoulli of 0.0001 draws {often:.5f}")
half, brain, right = ("float16", None), ("bfloat16", None), (("float32", None), ("bfloat16", "high"))
sys.exit(not (all(abs(lower[x] - 0.5) < 0.02 for x in right) and lower[brain] > 0.99 and first[brain] > 5 and
              lower[half] > 0.6 and chosen < 200 and often > 0.005 and rare[half] == 0 and
              abs(rare["float32", None] - 400) < 80))
PY
