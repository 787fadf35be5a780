# SPDX-License-Identifier: Apache-2.0
"""PyTorch's tokens for logits that MLX, or anybody, computed."""

from __future__ import annotations

from typing import Any

from ..arguments import integer, real
from ..arrays import as_logits
from ..exact import default_stream


def mlx_sample_exact(logits: Any, topk: int = 5, temperature: float = 1.0,
                     seed: int | None = None) -> Any:
    """The tokens that Sesame's sample_topk would draw in PyTorch on the CPU.

    Parameters
    ----------
    logits : array [rows, vocab] or [vocab] of float32, bfloat16 or float16; of mlx, torch,
        NumPy, or anything with DLPack or the buffer protocol. Read in place where it can be
    topk : 1..vocab
    temperature : above 0
    seed : begins the stream as torch.manual_seed(seed); None goes on with it

    Returns
    -------
    int32 [rows, 1], of the kind of array that was given

    Raises
    ------
    TypeError : logits not an array, or of another dtype; topk, temperature or seed no number
    ValueError : a shape, topk, temperature or seed out of range; logits without values (a torch
        tensor on 'meta'); NaN, +Inf or nothing finite in the logits (names row and index; the
        stream has not moved)
    """
    array, dtype, give_back = as_logits(logits)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"logits: shape must be [rows, vocab] or [vocab], not {list(array.shape)}")
    topk = integer("topk", topk)
    if not 1 <= topk <= array.shape[-1]:
        raise ValueError(f"topk: {topk}, expected 1..{array.shape[-1]}, the vocabulary")
    temperature = real("temperature", temperature)
    if seed is not None:
        default_stream.seed(seed)
    return give_back(default_stream.draw(array, dtype, topk, temperature))
