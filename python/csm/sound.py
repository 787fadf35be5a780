# SPDX-License-Identifier: Apache-2.0
"""Sound as arrays of any library, any kind of number, any rate: to mono float32 at the model's."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from . import _csm
from .arguments import integer
from .arrays import as_numbers

MOST_CHANNELS = 8
FULL_SCALE = {"int8": 2**7, "int16": 2**15, "int32": 2**31, "uint8": 2**7}


class SpeechWarning(UserWarning):
    """What was asked and does not come out as asked. `code` says which, and stays as it is:
    docs/CONVERSATION.md lists them."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code}: {self.args[0]}"

    def __reduce__(self) -> tuple[type[SpeechWarning], tuple[str, str]]:
        return type(self), (self.code, self.args[0])


def warn(code: str, text: str) -> str:
    """Warn of it, at the line that called the package, and give "code: text"."""
    message = SpeechWarning(code, text)
    level, frame = 1, sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("csm."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
    return str(message)


def _scaled(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.name not in FULL_SCALE:
        raise ValueError(f"{name}: {values.dtype} has no full scale that is known, expected floats "
                         "of -1 to 1, or int16, int32, int8 or uint8 samples")
    middle = 2**7 if values.dtype.kind == "u" else 0
    full = FULL_SCALE[values.dtype.name]
    return ((values.astype(np.float64) - middle) / full).astype(np.float32)


def _mixed(name: str, values: np.ndarray) -> np.ndarray:
    """The mean of the channels of [n], [channels, n] or [n, channels], with a batch of one
    before them or not."""
    shape = list(values.shape)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 1:
        return values
    few, many = (min(values.shape), max(values.shape)) if values.ndim == 2 else (0, 0)
    is_clear = values.ndim == 2 and few <= MOST_CHANNELS and (few == 1 or many > MOST_CHANNELS)
    if not is_clear:
        raise ValueError(f"{name}: shape {shape}, expected [n_samples], or [channels, n_samples] "
                         f"or [n_samples, channels] with at most {MOST_CHANNELS} channels")
    channels = values if values.shape[0] == few else values.T
    mean = np.ascontiguousarray(channels.mean(axis=0, dtype=np.float64).astype(np.float32))
    power = float(np.mean(np.square(channels, dtype=np.float64)))
    if few > 1 and float(np.mean(np.square(mean, dtype=np.float64))) < 0.01 * power:
        raise ValueError(f"{name}: its {few} channels cancel each other (opposite phase), expected "
                         "sound in their mean")
    return mean


def as_samples(name: str, audio: Any) -> np.ndarray:
    """Numbers of any library and kind as float32, integers by their full scale; of their own shape."""
    return _scaled(name, as_numbers(name, audio))


def as_sound(name: str, audio: Any, sampling_rate: int | None, rate_hz: int,
             is_torchaudio: bool = False) -> np.ndarray:
    """float32 [n_samples] at rate_hz: channels averaged, integers by their full scale.

    sampling_rate is the array's own; None: the model's.
    """
    values = as_samples(name, audio)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: a sample is not finite, expected numbers of -1 to 1")
    if values.size and np.abs(values).max() > 10:
        raise ValueError(f"{name}: a sample is {float(np.abs(values).max()):g}, expected -1 to 1 "
                         "(integers as floats? hand them over as integers)")
    values = np.ascontiguousarray(_mixed(name, values))
    if sampling_rate is None:
        return values
    own_hz = integer("sampling_rate", sampling_rate, 1, 768000)
    if own_hz == rate_hz or not values.size:
        return values
    return _csm.resample(values, own_hz, rate_hz, is_torchaudio)


def warn_of_recording(name: str, samples: np.ndarray, rate_hz: int, text: str) -> None:
    for remark in _csm.remark_recording(name, samples, rate_hz, text):
        warn(*remark)
