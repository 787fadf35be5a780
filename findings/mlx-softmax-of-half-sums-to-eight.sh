#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx 0.32.4 on the CPU: mx.softmax of float16 and bfloat16 adds its exponentials in that type, so that their sum stands
# still at 2,048 or 256 and the answers add up to more than 1. precise=True adds in float32. PyTorch's softmax of
# bfloat16 adds in float32 as it is, and so does mx.logsumexp.
#
# Seen here: 2,051 equal logits (a codebook of CSM) in bfloat16: the probabilities add up to 8.01; in float16 to 1.00;
# 5,000: to 19.5 and 2.44. Normal logits with a deviation of 2 in bfloat16: to 1.1 to 1.3. With precise=True: 1.
#
# A top-p over such numbers ends after an eighth of what it should keep. Logits go to float32 first, as in csm.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'mlx[cpu]==0.32.4' numpy==2.4.6
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import mlx.core as mx

mx.set_default_device(mx.cpu)
print("mlx", importlib.metadata.version("mlx"))
told = {}
for dtype in (mx.bfloat16, mx.float16, mx.float32):
    for n in (2051, 5000):
        logits = mx.zeros((1, n), dtype=dtype)
        told[dtype, n] = [mx.sum(mx.softmax(logits, axis=-1, precise=precise).astype(mx.float32)).item()
                          for precise in (False, True)]
        print("{} equal logits of {}: probabilities add up to {:.2f}, with precise=True to {:.2f}".format(
            n, dtype, *told[dtype, n]))
sys.exit(not (told[mx.bfloat16, 2051][0] > 7.5 and told[mx.bfloat16, 5000][0] > 18 and told[mx.float16, 5000][0] > 2 and
              abs(told[mx.float32, 2051][0] - 1) < 1e-3 and all(abs(x[1] - 1) < 0.01 for x in told.values())))
PY
