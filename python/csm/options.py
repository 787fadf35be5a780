# SPDX-License-Identifier: Apache-2.0
"""The options of csm generate, under the same names: what may be given, and what it becomes."""

from __future__ import annotations

import secrets
from typing import Any, TypedDict

from . import _csm
from .arguments import integer, real
from .arguments import seed as seed_of
from .arguments import text as text_of

FRAME_MS = 80


class Options(TypedDict, total=False):
    """What `generate` takes beside what Sesame's has; docs/PYTHON.md says more of each.

    seed : a number as torch.manual_seed takes it, or 'random' (speak's report tells which)
    voice : a voice of `csm voice list`
    min_audio_length_ms : at least so much sound
    top_p, min_p, depth_temperature, depth_topk, depth_top_p, depth_min_p : as the command's
    sentences, normalize, guard : True or False; None: True with the embedded voice, else False
    adapter : one of the model's `adapters`; None: the model as it was opened
    strategy, stream, sampler, dtype, mlx_version : as the command's; dtype is the sampler's
    """

    seed: int | str
    voice: str | None
    min_audio_length_ms: float
    top_p: float | None
    min_p: float | None
    depth_temperature: float | None
    depth_topk: int | None
    depth_top_p: float | None
    depth_min_p: float | None
    sentences: bool | None
    normalize: bool | None
    guard: bool | None
    adapter: str | None
    strategy: str
    stream: str | None
    sampler: str | None
    dtype: str | None
    mlx_version: str | None


def check_names(options: Options) -> None:
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"{min(unknown)}: no such option; there are "
                        f"{', '.join(Options.__annotations__)}")


def flag_or_none(name: str, value: bool | None) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name}: expected True, False or None, not {type(value).__name__}")
    return value


def flag(name: str, value: bool | None, default: bool) -> bool:
    given = flag_or_none(name, value)
    return default if given is None else given


def name_or_none(name: str, value: str | None) -> str | None:
    return None if value is None else text_of(name, value)


def _between(name: str, value: float | None, lowest: float, highest: float, words: str) -> float:
    if value is None:
        return float(_csm.FROM_MODEL)
    number = real(name, value)
    if not lowest <= number <= highest:
        raise ValueError(f"{name}: {number:g}, expected {words}")
    return number


def _temperature(name: str, value: float | None) -> float:
    return _between(name, value, 0, 1e300, "0 (greedy) or above")


def _topk(name: str, value: int | None) -> int:
    return _csm.FROM_MODEL if value is None else integer(name, value, 0)


def length_frames(name: str, value: float, lowest_ms: float) -> float:
    """Frames, not yet rounded."""
    length = real(name, value)
    if not lowest_ms <= length < 1e12:
        raise ValueError(f"{name}: {length:g}, expected {lowest_ms:g} or more, below 1e12")
    return length / FRAME_MS


def seed_number(value: int | str) -> int:
    return secrets.randbits(64) if value == "random" else seed_of("seed", value)


def draws(options: Options, temperature: float | None, topk: int | None) -> dict[str, Any]:
    """The arguments of _csm.Model.start that say how to draw, the seed apart."""
    get = options.get
    top_p, min_p = (1e-300, 1, "above 0, up to 1 (all)"), (0, 1, "0 (all) to 1")
    return {
        "temperature": _temperature("temperature", temperature), "top_k": _topk("topk", topk),
        "top_p": _between("top_p", get("top_p"), *top_p),
        "min_p": _between("min_p", get("min_p"), *min_p),
        "depth_temperature": _temperature("depth_temperature", get("depth_temperature")),
        "depth_top_k": _topk("depth_topk", get("depth_topk")),
        "depth_top_p": _between("depth_top_p", get("depth_top_p"), *top_p),
        "depth_min_p": _between("depth_min_p", get("depth_min_p"), *min_p),
        "strategy": text_of("strategy", get("strategy", "auto")),
        "stream": name_or_none("stream", get("stream")),
        "sampler": name_or_none("sampler", get("sampler")),
        "dtype": name_or_none("dtype", get("dtype")),
        "mlx_version": name_or_none("mlx_version", get("mlx_version")),
        "adapter": name_or_none("adapter", get("adapter"))}
