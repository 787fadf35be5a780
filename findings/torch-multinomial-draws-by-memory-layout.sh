#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# torch 2.14.1 on the CPU: torch.multinomial of the same probabilities with the same seed draws other tokens when the
# tensor lies in memory in another order (a transposed view, which == calls equal). Its noise is made by empty_like,
# which keeps strides, and is filled in the order of memory. Documentation names no such thing. Rows of an expanded
# tensor draw as contiguous ones.
#
# Seen here: 64 rows of 2,051 probabilities: all 64 draws differ between q and its transposed copy transposed back,
# whose contiguous() gives the first draws again.
#
# Logits that come transposed (from another framework, from a batch-last model) are made contiguous before a draw that
# must be repeatable; csm draws what a contiguous row draws.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys

import torch

print("torch", torch.__version__)
q = torch.softmax(torch.randn(64, 2051, generator=torch.Generator().manual_seed(0)), -1)
view = q.t().contiguous().t()


def drawn(probabilities):
    torch.manual_seed(7)
    return torch.multinomial(probabilities, 1).flatten()


differ = int((drawn(q) != drawn(view)).sum())
again = torch.equal(drawn(q), drawn(view.contiguous()))
print(f"probabilities equal: {torch.equal(q, view)}; {differ} of 64 draws differ; made contiguous equal: {again}")
sys.exit(0 if torch.equal(q, view) and differ > 50 and again else 1)
PY
