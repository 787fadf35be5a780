# SPDX-License-Identifier: Apache-2.0
"""Arrays of whichever library the caller uses: NumPy, torch, mlx, or another with DLPack.

Nothing is imported here that the caller has not imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _csm

DTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def _dtype(name: str) -> str:
    if name not in DTYPES:
        raise TypeError(f"logits: dtype must be float32, bfloat16 or float16, not {name}")
    return DTYPES[name]


def _library(name: str, array: Any) -> Any:
    """The module `name`, if the caller has it and the array is one of its own."""
    module = sys.modules.get(name)
    kind = {"torch": "Tensor", "mlx.core": "array"}[name]
    return module if module is not None and isinstance(array, getattr(module, kind)) else None


def _on_cpu(name: str, tensor: Any, as_float: bool = False) -> Any:
    """A torch tensor's values on the CPU, row after row; as_float: as float32."""
    try:
        tensor = tensor.detach().cpu().resolve_neg().contiguous()
        if as_float and tensor.is_floating_point():
            tensor = tensor.float()
        tensor.data_ptr()  # nested and wrapped ones have none
        return tensor
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{name}: a tensor of layout {tensor.layout} on {tensor.device} has no "
                         f"values to read: {str(error).splitlines()[0]}") from None


def _of_torch(name: str, tensor: Any, as_float: bool = False) -> np.ndarray:
    """The same, as NumPy's."""
    values = _on_cpu(name, tensor, as_float)
    try:
        array: np.ndarray = values.numpy()
    except (TypeError, RuntimeError) as error:  # quantized: NumPy has no such numbers
        raise TypeError(f"{name}: expected an array of numbers, not a tensor of {tensor.dtype}: "
                        f"{str(error).splitlines()[0]}") from None
    return array


def _unchanged(tokens: np.ndarray) -> np.ndarray:
    return tokens


def as_logits(logits: Any) -> tuple[Any, str, Callable[[np.ndarray], Any]]:
    """What the C module can read of logits, their dtype ('f32', 'bf16', 'f16'), and how to
    give int32 results back as the kind of array that came in."""
    if isinstance(logits, np.ndarray):
        _refuse_masked("logits", logits)
        return *_of_numpy(logits), _unchanged
    torch = _library("torch", logits)
    if torch is not None:
        def to_torch(tokens: np.ndarray) -> Any:
            return torch.from_numpy(tokens).to(logits.device)

        dtype = _dtype(str(logits.dtype).removeprefix("torch."))
        return _on_cpu("logits", logits), dtype, to_torch
    mx = _library("mlx.core", logits)
    if mx is not None:
        dtype = _dtype(str(logits.dtype).removeprefix("mlx.core."))
        if dtype == "bf16":  # NumPy has none; widened here where it can be, for MLX takes longer
            try:
                return _csm.widen(logits)[0], dtype, mx.array
            except (TypeError, ValueError):  # strided, or of another rank
                logits = logits.astype(mx.float32)
        return np.asarray(np.array(logits, copy=False), order="C"), dtype, mx.array
    if hasattr(logits, "__dlpack__"):
        try:
            return *_of_numpy(np.from_dlpack(logits)), _unchanged
        except (BufferError, RuntimeError):  # a dtype that NumPy has not, or another device
            return *_csm.widen(logits), _unchanged
    try:
        array = np.asarray(memoryview(logits))
    except (TypeError, ValueError):
        raise TypeError("logits: expected an array of numpy, torch or mlx, or anything with "
                        f"DLPack or the buffer protocol, not {type(logits).__name__}") from None
    return *_of_numpy(array), _unchanged


def _of_numpy(array: np.ndarray) -> tuple[np.ndarray, str]:
    dtype = _dtype(array.dtype.name)
    if dtype == "bf16":  # ml_dtypes'; the C module knows NumPy's own
        array = array.astype(np.float32)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C"), dtype


def as_floats(name: str, array: Any) -> np.ndarray:
    """Sound or logits of NumPy, torch, mlx or a list, as float32 row after row."""
    if _library("torch", array) is not None:
        array = _of_torch(name, array, as_float=True)
    mx = _library("mlx.core", array)
    if mx is not None:
        array = array.astype(mx.float32)
    return _converted(name, array, np.float32)


def as_numbers(name: str, array: Any) -> np.ndarray:
    """Floats or integers of NumPy, torch, mlx or a list, of their own dtype (bfloat16 as
    float32)."""
    if _library("torch", array) is not None:
        array = _of_torch(name, array, as_float=True)
    mx = _library("mlx.core", array)
    if mx is not None and array.dtype == mx.bfloat16:
        array = array.astype(mx.float32)
    values = _converted(name, array, None)
    if values.dtype.name == "bfloat16":
        values = values.astype(np.float32)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected an array of numbers, not {type(array).__name__}: dtype "
                        f"{values.dtype}")
    return values


def as_codes(name: str, array: Any) -> np.ndarray:
    """Codes of NumPy, torch, mlx or a list, as int32 row after row."""
    if _library("torch", array) is not None:
        array = _of_torch(name, array)
    values = _converted(name, array, None)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, not {values.dtype}")
    if values.size and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise ValueError(f"{name}: a code does not fit 32 bits")
    return np.asarray(values, np.int32, order="C")


def _refuse_masked(name: str, array: Any) -> None:
    """NumPy would hand over what lies under the mask."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise TypeError(f"{name}: a masked array: expected its values, as array.filled(...) gives "
                        "them")


def _converted(name: str, array: Any, dtype: Any) -> np.ndarray:
    _refuse_masked(name, array)
    try:
        if isinstance(array, (bytes, bytearray)):  # of which numbers, nobody knows
            raise TypeError("bytes have no dtype")
        values = np.asarray(array, order="C")
        if dtype is not None and values.dtype.kind not in "fiu":
            raise TypeError(f"dtype {values.dtype}")
        return values if dtype is None else values.astype(dtype, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of numbers, not {type(array).__name__}: "
                        f"{error}") from None
