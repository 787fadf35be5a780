# SPDX-License-Identifier: Apache-2.0
"""One stream of PyTorch's random numbers, and the samplers that draw from it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import _csm
from .arguments import seed as seed_of

# What torch's default generator starts from when nobody has seeded it
# (c10/core/GeneratorImpl.h: default_rng_seed_val).
UNSEEDED = 67280421310721


class ExactStream:
    """PyTorch's CPU generator and the draws from it, as torch's own default generator: one
    for the process, shared by its threads, which take turns.

    Samplers of different dtype or settings draw from the one stream, as calls of different
    functions of torch do.
    """

    def __init__(self, seed: int = UNSEEDED) -> None:
        self._lock = threading.Lock()
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """As torch.manual_seed."""
        checked = seed_of("seed", seed)
        with self._lock:
            self._seed = checked
            self._samplers: dict[tuple[str, str, float, float], _csm.Sampler] = {}
            self._latest: _csm.Sampler | None = None  # the one that drew last

    def draw(self, logits: Any, dtype: str, top_k: int, temperature: float, top_p: float = 0.0,
             min_p: float = 0.0, kind: str = "sesame") -> np.ndarray:
        """int32 [rows, 1] for logits [rows, vocab] that the C module can read.

        kind : 'sesame', its sample_topk in the logits' dtype; or 'transformers', its warpers
            (top_p and min_p too) and torch.multinomial
        """
        key = (kind, dtype, top_p, min_p)
        with self._lock:
            sampler = self._samplers.get(key)
            if sampler is None:
                sampler = _csm.Sampler(kind, "torch-cpu", dtype=dtype, seed=self._seed,
                                       top_p=top_p, min_p=min_p)
                self._samplers[key] = sampler
            if self._latest is not None:
                sampler.follow(self._latest)
            self._latest = sampler
            sampler.set_temperature(temperature)
            sampler.set_top_k(top_k)
            tokens, _ = sampler.draw(logits)
        return tokens


default_stream = ExactStream()
