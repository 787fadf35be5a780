# SPDX-License-Identifier: Apache-2.0
"""The mark of generated speech: adding it, finding it. docs/MARK.md"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _csm
from .arguments import integer
from .sound import as_samples


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


def _mono(samples: Any) -> np.ndarray:
    values = as_samples("samples", samples)
    if values.ndim != 1:
        raise ValueError(f"samples: {values.ndim} dimensions, expected one: mono sound")
    return np.ascontiguousarray(values)


def _bytes_of(key: bytes | bytearray | None) -> bytes | None:
    if key is not None and not isinstance(key, (bytes, bytearray)):
        raise TypeError(f"key: expected 32 bytes, not {type(key).__name__}")
    return None if key is None else bytes(key)


class Marker(_csm.Marker):
    """Marks a stream of mono sound: rate a multiple of 8,000 up to 48,000 Hz, key and payload as
    `mark` has them."""

    def __init__(self, rate: int = 24000, key: bytes | bytearray | None = None, maker: int = 1,
                 model: int = 0, free_bits: int = 0) -> None:
        super().__init__(integer("rate", rate), _bytes_of(key), integer("maker", maker, 0, 2**8 - 1),
                         integer("model", model, 0, 2**16 - 1),
                         integer("free_bits", free_bits, 0, 2**8 - 1))

    def push(self, samples: Any) -> np.ndarray:
        """The next samples, marked, without delay: float32; integers by their full scale."""
        return super().push(_mono(samples))


class Detector(_csm.Detector):
    """Looks for marks in a stream of mono sound of any rate; threads that share it take turns."""

    def __init__(self, rate: int = 24000, key: bytes | bytearray | None = None) -> None:
        super().__init__(integer("rate", rate), _bytes_of(key))

    def push(self, samples: Any) -> None:
        """The next samples."""
        super().push(_mono(samples))


def mark(samples: Any, *, rate: int = 24000, key: bytes | bytearray | None = None,
         payload: Payload = Payload()) -> np.ndarray:
    """The samples with the mark in them: mono float32; rate a multiple of 8,000 up to 48,000 Hz.
    Integers count by their full scale, as Segment's audio.

    key: 32 bytes of your own; None is the public key, by which everybody can detect.
    """
    marker = Marker(rate, key, payload.maker, payload.model, payload.free_bits)
    return marker.push(samples)


def detect(samples: Any, *, rate: int = 24000, key: bytes | bytearray | None = None) -> Detection:
    """Whether mono sound of any rate carries the key's mark, where, and what it says."""
    detector = Detector(rate, key)
    detector.push(samples)
    stretches, p_value = detector.result()
    return Detection(tuple(Found(start, end, p, speed, Payload(*said) if said else None)
                           for start, end, p, speed, said in stretches), p_value)
