# SPDX-License-Identifier: Apache-2.0
"""Arrays of whichever library the caller uses: NumPy, torch, mlx, or another with DLPack.

Nothing is imported here that the caller has not imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

_SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def _dtype(name: str) -> str:
    if name not in _SHORT:
        raise TypeError(f"logits: dtype must be float32, bfloat16 or float16, not {name}")
    return _SHORT[name]


def _library(name: str, array: Any) -> Any:
    """The module `name`, if the caller has it and the array is one of its own."""
    module = sys.modules.get(name)
    kind = {"torch": "Tensor", "mlx.core": "array"}[name]
    return module if module is not None and isinstance(array, getattr(module, kind)) else None


def as_logits(logits: Any) -> tuple[Any, str, Callable[[np.ndarray], Any]]:
    """What the C module can read of logits, their dtype ('f32', 'bf16', 'f16'), and how to
    give int32 results back as the kind of array that came in."""
    if isinstance(logits, np.ndarray):
        return np.ascontiguousarray(logits), _dtype(logits.dtype.name), lambda tokens: tokens
    torch = _library("torch", logits)
    if torch is not None:
        def to_torch(tokens: np.ndarray) -> Any:
            return torch.from_numpy(tokens).to(logits.device)

        dtype = _dtype(str(logits.dtype).removeprefix("torch."))
        return logits.detach().cpu().contiguous(), dtype, to_torch
    mx = _library("mlx.core", logits)
    if mx is not None:
        dtype = _dtype(str(logits.dtype).removeprefix("mlx.core."))
        # NumPy reads an mlx array's memory in place; it has no bfloat16, so that is widened.
        wide = logits if dtype != "bf16" else logits.astype(mx.float32)
        return np.ascontiguousarray(np.array(wide, copy=False)), dtype, mx.array
    if hasattr(logits, "__dlpack__"):
        array = np.from_dlpack(logits)
        return np.ascontiguousarray(array), _dtype(array.dtype.name), lambda tokens: tokens
    try:
        array = np.asarray(memoryview(logits))
    except TypeError:
        raise TypeError("logits: expected an array of numpy, torch or mlx, or anything with "
                        f"DLPack or the buffer protocol, not {type(logits).__name__}") from None
    return np.ascontiguousarray(array), _dtype(array.dtype.name), lambda tokens: tokens
