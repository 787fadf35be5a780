# SPDX-License-Identifier: Apache-2.0
"""Arguments checked at the door: TypeError or ValueError that names the argument."""

from __future__ import annotations

import operator
from typing import Any


def integer(name: str, value: Any, lowest: int = -(2**31), highest: int = 2**31 - 1) -> int:
    try:
        if isinstance(value, bool):  # sampling_rate=True would be 1 Hz
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, not {type(value).__name__}") from None
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: {number}, expected {lowest}..{highest}")
    return number


def real(name: str, value: Any) -> float:
    try:
        if isinstance(value, (bool, str, bytes, bytearray)):  # float() would read them
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: expected a number, not {type(value).__name__}") from None


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, not {type(value).__name__}")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name}: no text: it holds a NUL or half of a surrogate pair")
    return value


def seed(name: str, value: Any) -> int:
    """As torch.manual_seed takes it: 64 bits, negative numbers from the top."""
    return integer(name, value, -(2**63), 2**64 - 1) & 0xFFFFFFFFFFFFFFFF
