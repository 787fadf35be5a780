# SPDX-License-Identifier: Apache-2.0
"""The mark of generated speech: adding it, finding it. docs/MARK.md"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._csm import Detector, Marker

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Payload:
    """What a mark says: maker 1 is csm; the beginning of the model's digest; the user's bits."""

    maker: int = 1
    model: int = 0
    free_bits: int = 0


@dataclass(frozen=True)
class Found:
    """A stretch of sound in which the mark was found."""

    start_s: float
    end_s: float
    p_value: float           # at most so often does sound without the mark look so
    speed: float
    payload: Payload | None  # None: it could not be read


@dataclass(frozen=True)
class Detection:
    """What detect found; it is true when the sound is marked."""

    found: tuple[Found, ...]
    p_value: float

    def __bool__(self) -> bool:
        return bool(self.found)


def _floats(samples: Any) -> np.ndarray:
    import numpy as np

    array = np.ascontiguousarray(samples, np.float32)
    if array.ndim != 1:
        raise ValueError(f"samples: {array.ndim} dimensions, expected one: mono sound")
    return array


def mark(samples: Any, *, rate: int = 24000, key: bytes | None = None,
         payload: Payload = Payload()) -> np.ndarray:
    """The samples with the mark in them: mono float32; rate a multiple of 8,000 up to 48,000 Hz.

    key: 32 bytes of your own; None is the public key, by which everybody can detect.
    """
    marker = Marker(rate, key, payload.maker, payload.model, payload.free_bits)
    return marker.push(_floats(samples))


def detect(samples: Any, *, rate: int = 24000, key: bytes | None = None) -> Detection:
    """Whether mono sound of any rate carries the key's mark, where, and what it says."""
    detector = Detector(rate, key)
    detector.push(_floats(samples))
    stretches, p_value = detector.result()
    return Detection(tuple(Found(start, end, p, speed, Payload(*said) if said else None)
                           for start, end, p, speed, said in stretches), p_value)
