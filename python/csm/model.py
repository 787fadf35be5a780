# SPDX-License-Identifier: Apache-2.0
"""Speaking: the model, the turns of a conversation, and what comes out."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _csm

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
        if self.codes is not None:
            return _csm.Turn(self.text, self.speaker,
                             codes=np.ascontiguousarray(self.codes, np.int32))
        return _csm.Turn(self.text, self.speaker,
                         samples=np.ascontiguousarray(self.audio, np.float32).reshape(-1))


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


class Model:
    """A CSM that is open.

    Parameters
    ----------
    path : a model directory, or None for the embedded voice
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
        self._model = _csm.Model(None if path is None else os.fspath(path), strategy=strategy,
                                 engine=engine, dtype=dtype, threads=threads, device=device,
                                 codec_engine=codec_engine)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str] | None = None, **options: Any) -> Model:
        """Open a model directory; options as the constructor's."""
        return cls(path, **options)

    @property
    def info(self) -> dict[str, Any]:
        """What is known of the model: sizes, engine, versions, defaults."""
        return self._model.info()

    def stream(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
               max_audio_length_ms: float = 10_000, temperature: float | None = None,
               topk: int | None = None, *, depth_temperature: float | None = None,
               depth_topk: int | None = None, **options: Any) -> Iterator[Frame]:
        """Speak, handing over each frame as soon as it is drawn; arguments as `generate`."""
        return _Frames(self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                                   depth_temperature, depth_topk, options))

    def generate(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
                 max_audio_length_ms: float = 10_000, temperature: float | None = None,
                 topk: int | None = None, **options: Any) -> np.ndarray:
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
        """
        return self.speak(text, speaker, context, max_audio_length_ms, temperature, topk,
                          **options).audio

    def speak(self, text: str, speaker: int = 0, context: Sequence[Segment] = (),
              max_audio_length_ms: float = 10_000, temperature: float | None = None,
              topk: int | None = None, *, logits: bool = False,
              depth_temperature: float | None = None, depth_topk: int | None = None,
              **options: Any) -> Speech:
        """As `generate`, with the tokens, how surely they were drawn, and the report."""
        generation = self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                                 depth_temperature, depth_topk, options)
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
            logits=np.stack([frame.logits for frame in frames]) if logits and frames else None,
            report=generation.report())

    def tokenize(self, text: str, speaker: int = 0) -> np.ndarray:
        """The ids int32 [n] of '[speaker]text' as the prompt has them."""
        return self._model.tokenize(text, speaker)

    def encode(self, audio: Any) -> np.ndarray:
        """Codes int32 [n_frames, n_codebooks] of sound [n_samples], mono 24 kHz."""
        return self._model.encode(np.ascontiguousarray(audio, np.float32).reshape(-1))

    def decode(self, codes: Any) -> np.ndarray:
        """Sound float32 [n_frames * 1920] of codes [n_frames, n_codebooks]."""
        return self._model.decode(np.ascontiguousarray(codes, np.int32))

    def close(self) -> None:
        """Let go of the model's memory; later calls raise ValueError."""
        self._model.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, text: str, speaker: int, context: Sequence[Segment],
               max_audio_length_ms: float, temperature: float | None, topk: int | None,
               depth_temperature: float | None, depth_topk: int | None,
               options: dict[str, Any]) -> _csm.Generation:
        if max_audio_length_ms < FRAME_MS:
            raise ValueError(f"max_audio_length_ms: at least one frame, {FRAME_MS}")

        def given(value: Any) -> Any:
            return _csm.FROM_MODEL if value is None else value

        return self._model.start(
            text, speaker, [segment._turn() for segment in context],
            temperature=given(temperature), top_k=given(topk),
            depth_temperature=given(depth_temperature), depth_top_k=given(depth_topk),
            max_frames=int(max_audio_length_ms / FRAME_MS), **options)


class _Frames:
    """The frames of a generation, as `Frame`s."""

    def __init__(self, generation: _csm.Generation) -> None:
        self._generation = generation

    def __iter__(self) -> _Frames:
        return self

    def __next__(self) -> Frame:
        return Frame(**next(self._generation))
