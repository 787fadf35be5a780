# SPDX-License-Identifier: Apache-2.0
"""Speaking: the model, the turns of a conversation, and what comes out."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import numpy as np

from . import _csm
from .arguments import integer, real
from .arguments import seed as seed_of
from .arguments import text as text_of
from .arrays import as_codes, as_floats
from .hub import path_of

FRAME_MS = 80

# Beside the package in a wheel; a source tree sets CSM_VOICE_DIR or passes a path.
_EMBEDDED_VOICE = pathlib.Path(__file__).parent / "share" / "csm" / "voice"


@dataclass
class Segment:
    """An earlier turn of the conversation.

    Attributes
    ----------
    speaker : int
    text : str
    audio : float array [n_samples], mono 24 kHz, of NumPy, torch or mlx; or None
    codes : int32 array [n_frames, n_codebooks], in place of the audio; or None
    """

    speaker: int
    text: str
    audio: Any = None
    codes: Any = None

    def _turn(self) -> _csm.Turn:
        if (self.audio is None) == (self.codes is None):
            raise ValueError("context: each segment needs audio or codes, and not both")
        words, speaker = text_of("context: text", self.text), integer("speaker", self.speaker)
        if self.codes is not None:
            return _csm.Turn(words, speaker, codes=as_codes("context: codes", self.codes))
        return _csm.Turn(words, speaker,
                         samples=as_floats("context: audio", self.audio).reshape(-1))


@dataclass
class Frame:
    """80 ms of speech as drawn.

    Attributes
    ----------
    index : int
    codes : int32 [n_codebooks]
    margins, probs : float32 [n_codebooks]; how surely each code was drawn
    logits : float32 [n_codebooks, vocab], before temperature
    samples : float32 [1920], or None without sound
    """

    index: int
    codes: np.ndarray
    margins: np.ndarray
    probs: np.ndarray
    logits: np.ndarray | None
    samples: np.ndarray | None


@dataclass
class Speech:
    """A whole utterance.

    Attributes
    ----------
    audio : float32 [n_samples], 24 kHz
    tokens : int32 [n_frames, n_codebooks]
    margins, probs : float32 [n_frames, n_codebooks]
    logits : float32 [n_frames, n_codebooks, vocab], or None if not asked for
    report : dict, the choices made and the times taken
    """

    audio: np.ndarray
    tokens: np.ndarray
    margins: np.ndarray
    probs: np.ndarray
    logits: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)


class Options(TypedDict, total=False):
    """What `generate` takes beside what Sesame's has; as the command's options."""

    seed: int
    depth_temperature: float | None
    depth_topk: int | None
    strategy: str
    stream: str | None
    sampler: str | None
    dtype: str | None
    mlx_version: str | None


class ModelOptions(TypedDict, total=False):
    """The constructor's options."""

    strategy: str
    engine: str | None
    dtype: str
    threads: int
    device: str | None
    codec_engine: str | None


class Model:
    """A CSM that is open.

    Parameters
    ----------
    path : a model directory, 'ORG/NAME' of a hub (downloaded if it is not in the cache),
        or None for the embedded voice
    strategy : 'auto', 'pure', 'exact' or 'hybrid'
    engine : 'native', 'mlx', 'torch', or None to choose by the strategy
    dtype : 'stored', 'f32', 'bf16', 'f16', 'q8' or 'q4', of the language model's matrices
    threads : 0 for one a core
    device : the engine's word for it ('cpu', 'gpu', 'cuda:0', 'mps'), or None
    """

    sample_rate = 24000

    def __init__(self, path: str | os.PathLike[str] | None = None, *, strategy: str = "auto",
                 engine: str | None = None, dtype: str = "stored", threads: int = 0,
                 device: str | None = None, codec_engine: str | None = None) -> None:
        if path is None and _EMBEDDED_VOICE.is_dir():
            path = _EMBEDDED_VOICE
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise TypeError("path: expected a directory's path or ORG/NAME, not "
                            f"{type(path).__name__}")
        self._model = _csm.Model(
            None if path is None else path_of(path), strategy=text_of("strategy", strategy),
            engine=_name("engine", engine), dtype=text_of("dtype", dtype),
            threads=integer("threads", threads), device=_name("device", device),
            codec_engine=_name("codec_engine", codec_engine))

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str] | None = None,
                        **options: Unpack[ModelOptions]) -> Model:
        """Open a model directory, or 'ORG/NAME' of a hub; options as the constructor's."""
        return cls(path, **options)

    @property
    def info(self) -> dict[str, Any]:
        """What is known of the model: sizes, engine, versions, defaults."""
        return self._model.info()

    def stream(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
               max_audio_length_ms: float = 10_000, temperature: float | None = None,
               topk: int | None = None, **options: Unpack[Options]) -> Iterator[Frame]:
        """Speak, handing over each frame as soon as it is drawn; arguments as `generate`.

        One generation of a model runs at a time: starting another ends it.
        """
        return _Frames(self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                                   options, logits=True))

    def generate(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
                 max_audio_length_ms: float = 10_000, temperature: float | None = None,
                 topk: int | None = None, **options: Unpack[Options]) -> np.ndarray:
        """Speak: the signature of Sesame's and csm-mlx's generators.

        Parameters
        ----------
        text : what to say
        speaker : as whom
        context : earlier turns, oldest first
        max_audio_length_ms : at most so much sound
        temperature, topk : None for the model's own; temperature 0 is greedy
        options : seed, depth_temperature, depth_topk, strategy, stream, sampler, dtype,
            mlx_version; as the command's

        Returns
        -------
        float32 [n_samples], 24 kHz

        Raises
        ------
        TypeError, ValueError : names the argument; also of a model that was closed
        csm.EngineError : an engine failed
        """
        return self.speak(text, speaker, context, max_audio_length_ms, temperature, topk,
                          **options).audio

    def speak(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
              max_audio_length_ms: float = 10_000, temperature: float | None = None,
              topk: int | None = None, *, logits: bool = False,
              **options: Unpack[Options]) -> Speech:
        """As `generate`, with the tokens, how surely they were drawn, and the report."""
        generation = self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                                 options, logits)
        frames = list(_Frames(generation))
        n_codebooks = self.info["n_codebooks"]

        def stack(name: str, dtype: type) -> np.ndarray:
            rows = [getattr(frame, name) for frame in frames]
            return np.stack(rows) if rows else np.empty((0, n_codebooks), dtype)

        sound = [frame.samples for frame in frames if frame.samples is not None]
        return Speech(
            audio=np.concatenate(sound) if sound else np.empty(0, np.float32),
            tokens=stack("codes", np.int32), margins=stack("margins", np.float32),
            probs=stack("probs", np.float32),
            logits=np.stack([frame.logits for frame in frames if frame.logits is not None])
            if logits and frames else None,
            report=generation.report())

    def tokenize(self, text: str, speaker: int = 0) -> np.ndarray:
        """The ids int32 [n] of '[speaker]text' as the prompt has them."""
        return self._model.tokenize(text_of("text", text), integer("speaker", speaker))

    def encode(self, audio: Any) -> np.ndarray:
        """Codes int32 [n_frames, n_codebooks] of sound [n_samples], mono 24 kHz."""
        return self._model.encode(as_floats("audio", audio).reshape(-1))

    def decode(self, codes: Any) -> np.ndarray:
        """Sound float32 [n_frames * 1920] of codes [n_frames, n_codebooks]."""
        values = as_codes("codes", codes)
        if values.ndim != 2 or values.shape[1] == 0:
            raise ValueError("codes: shape must be [n_frames, n_codebooks], "
                             f"not {list(values.shape)}")
        return self._model.decode(values)

    def close(self) -> None:
        """Let go of the model's memory; later calls raise ValueError."""
        self._model.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, text: str, speaker: int, context: Sequence[Segment],
               max_audio_length_ms: float, temperature: float | None, topk: int | None,
               options: Options, logits: bool) -> _csm.Generation:
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            raise TypeError(f"{min(unknown)}: no such option; there are "
                            f"{', '.join(Options.__annotations__)}")
        length = real("max_audio_length_ms", max_audio_length_ms)
        if not FRAME_MS <= length < 1e12:
            raise ValueError(f"max_audio_length_ms: {length:g}, expected at least one frame, "
                             f"{FRAME_MS}")
        if isinstance(context, Segment) or not isinstance(context, Sequence):
            raise TypeError(f"context: expected a list of Segments, not {type(context).__name__}")
        return self._model.start(
            text_of("text", text), integer("speaker", speaker), [_turn(turn) for turn in context],
            seed=seed_of("seed", options.get("seed", 0)),
            temperature=_temperature("temperature", temperature), top_k=_topk("topk", topk),
            depth_temperature=_temperature("depth_temperature", options.get("depth_temperature")),
            depth_top_k=_topk("depth_topk", options.get("depth_topk")),
            strategy=text_of("strategy", options.get("strategy", "auto")),
            stream=_name("stream", options.get("stream")),
            sampler=_name("sampler", options.get("sampler")),
            dtype=_name("dtype", options.get("dtype")),
            mlx_version=_name("mlx_version", options.get("mlx_version")),
            max_frames=int(length / FRAME_MS), logits=logits)


def _name(name: str, value: str | None) -> str | None:
    return None if value is None else text_of(name, value)


def _temperature(name: str, value: float | None) -> float:
    if value is None:
        return _csm.FROM_MODEL
    temperature = real(name, value)
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"{name}: {temperature:g}, expected 0 (greedy) or above")
    return temperature


def _topk(name: str, value: int | None) -> int:
    return _csm.FROM_MODEL if value is None else integer(name, value, 0)


def _turn(segment: Any) -> _csm.Turn:
    """A turn of ours, or of Sesame's or csm-mlx's Segment: they have the same fields."""
    if not isinstance(segment, Segment):
        try:
            segment = Segment(segment.speaker, segment.text, segment.audio)
        except AttributeError:
            raise TypeError("context: expected Segments, not "
                            f"{type(segment).__name__}") from None
    return segment._turn()


class _Frames:
    """The frames of a generation, as `Frame`s."""

    def __init__(self, generation: _csm.Generation) -> None:
        self._generation = generation

    def __iter__(self) -> _Frames:
        return self

    def __next__(self) -> Frame:
        return Frame(**next(self._generation))
