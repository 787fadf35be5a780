# SPDX-License-Identifier: Apache-2.0
"""Speaking: the model, the turns of a conversation, and what comes out."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import numpy as np

from . import _csm, options
from .arguments import integer, real
from .arguments import text as text_of
from .arrays import as_codes
from .hub import path_of
from .options import FRAME_MS, Options, name_or_none
from .sound import SpeechWarning, as_sound, warn, warn_of_recording
from .speaking import Frame, Speaking
from .utterances import MAX_SENTENCE_BYTES, Utterances

__all__ = ["FRAME_MS", "Frame", "Model", "ModelOptions", "Options", "Segment", "Speech",
           "SpeechWarning"]

# Beside the package in a wheel; a source tree sets CSM_VOICE_DIR or passes a path.
_EMBEDDED_VOICE = pathlib.Path(__file__).parent / "share" / "csm" / "voice"


@dataclass
class Segment:
    """An earlier turn of the conversation.

    Attributes
    ----------
    speaker : int
    text : str
    audio : sound of NumPy, torch, mlx or a list; or None. Floats of -1 to 1, or integers of
        8, 16 or 32 bits; [n_samples], [channels, n_samples] or [n_samples, channels]
    codes : int32 array [n_frames, n_codebooks], in place of the audio; or None
    sampling_rate : of the audio, in Hz; None: the model's, 24000
    """

    speaker: int
    text: str
    audio: Any = None
    codes: Any = None
    sampling_rate: int | None = None

    def _turn(self, rate_hz: int, is_torchaudio: bool) -> _csm.Turn:
        if (self.audio is None) == (self.codes is None):
            raise ValueError("context: each segment needs audio or codes, and not both")
        words = text_of("context: text", self.text)
        if not words.strip():
            raise ValueError("context: text: empty, expected what is said in the recording")
        speaker = integer("context: speaker", self.speaker, 0)
        if self.codes is not None:
            return _csm.Turn(words, speaker, codes=_frames("context: codes", self.codes))
        sound = as_sound("context: audio", self.audio, self.sampling_rate, rate_hz, is_torchaudio)
        if sound.size:
            warn_of_recording("context: audio", sound, rate_hz, words)
        return _csm.Turn(words, speaker, samples=sound)


@dataclass
class Speech:
    """A whole utterance.

    Attributes
    ----------
    audio : float32 [n_samples], 24 kHz
    tokens : int32 [n_frames, n_codebooks]
    margins, probs : float32 [n_frames, n_codebooks]
    logits : float32 [n_frames, n_codebooks, vocab], or None if not asked for
    report : dict, the choices made, the times taken, and "warnings": "code: text" of what was
        warned of (SpeechWarning)
    """

    audio: np.ndarray
    tokens: np.ndarray
    margins: np.ndarray
    probs: np.ndarray
    logits: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)


class ModelOptions(TypedDict, total=False):
    """The constructor's options."""

    strategy: str
    engine: str | None
    dtype: str
    threads: int
    device: str | None
    codec_engine: str | None
    adapter: str | os.PathLike[str] | Sequence[Any] | None
    adapters: Mapping[str, Any] | None
    speculate: bool | None


class Model:
    """A CSM that is open.

    Parameters
    ----------
    path : a model directory, a GGUF file, 'ORG/NAME' of a hub (downloaded if it is not in the cache),
        or None for the embedded voice
    strategy : 'auto', 'pure', 'exact' or 'hybrid'
    engine : 'native', 'mlx', 'torch', or None to choose by the strategy
    dtype : 'stored', 'f32', 'bf16', 'f16', 'q8' or 'q4', of the language model's matrices
    threads : 0 for one a core
    device : the engine's word for it ('cpu', 'gpu', 'cuda:0', 'mps'), or None
    adapter : a directory of PEFT's or csm-mlx's to merge into the model, or a list of these, or
        of (directory, scale)
    adapters : {name: directory or (directory, scale)}, kept beside the model for the calls that
        name one: generate(..., adapter=name)
    speculate : whether a draft guesses codes that the true weights confirm (the same codes,
        sooner where weights come from memory); None: where it pays
    """

    sample_rate = 24000

    def __init__(self, path: str | os.PathLike[str] | None = None, *, strategy: str = "auto",
                 engine: str | None = None, dtype: str = "stored", threads: int = 0,
                 device: str | None = None, codec_engine: str | None = None,
                 adapter: str | os.PathLike[str] | Sequence[Any] | None = None,
                 adapters: Mapping[str, Any] | None = None,
                 speculate: bool | None = None) -> None:
        self._is_embedded = path is None
        if path is None and _EMBEDDED_VOICE.is_dir():
            path = _EMBEDDED_VOICE
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise TypeError("path: expected a directory's path or ORG/NAME, not "
                            f"{type(path).__name__}")
        self._model = _csm.Model(
            None if path is None else path_of(path), strategy=text_of("strategy", strategy),
            engine=name_or_none("engine", engine), dtype=text_of("dtype", dtype),
            threads=integer("threads", threads, 0), device=name_or_none("device", device),
            codec_engine=name_or_none("codec_engine", codec_engine), adapters=_adapters(adapter),
            named_adapters=_named_adapters(adapters),
            speculate=options.flag_or_none("speculate", speculate))

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str] | None = None,
                        **options: Unpack[ModelOptions]) -> Model:
        """Open a model directory, or 'ORG/NAME' of a hub; options as the constructor's."""
        return cls(path, **options)

    @property
    def info(self) -> dict[str, Any]:
        """What is known of the model: sizes, engine, versions, defaults."""
        return self._model.info()

    def stream(self, text: str, speaker: int | None = None, context: Sequence[Segment] = (),
               max_audio_length_ms: float | None = None, temperature: float | None = None,
               topk: int | None = None, **options: Unpack[Options]) -> Speaking:
        """Speak, handing over each frame as soon as it is drawn; arguments as `generate`. An
        iterator of `Frame`; its close() ends it early.

        Any number of them may be under way at once, begun and read from any threads: the
        model draws a frame of each at a time.
        """
        return self._start(text, speaker, context, max_audio_length_ms, temperature, topk, options,
                           logits=True)

    def generate(self, text: str, speaker: int | None = None, context: Sequence[Segment] = (),
                 max_audio_length_ms: float | None = None, temperature: float | None = None,
                 topk: int | None = None, **options: Unpack[Options]) -> np.ndarray:
        """Speak: the signature of Sesame's and csm-mlx's generators.

        Parameters
        ----------
        text : what to say
        speaker : as whom; None: the voice's, else the model's default
        context : earlier turns, oldest first
        max_audio_length_ms : at most so much sound, each sentence; None: 8 s and 0.2 s for each
            character, 10 s or more, or what the model's own settings say
        temperature, topk : None for the model's own; temperature 0 is greedy
        options : the command's, under the same names: `Options`

        Returns
        -------
        float32 [n_samples], 24 kHz

        Raises
        ------
        TypeError, ValueError : names the argument; also of a model that was closed
        csm.EngineError : an engine failed

        Warns
        -----
        csm.SpeechWarning : what does not come out as asked: cut by the limit, no sound, ...
        """
        speaking = self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                               options, logits=False)
        sound = [frame.samples for frame in speaking if frame.samples is not None]
        return np.concatenate(sound) if sound else np.empty(0, np.float32)

    def speak(self, text: str, speaker: int | None = None, context: Sequence[Segment] = (),
              max_audio_length_ms: float | None = None, temperature: float | None = None,
              topk: int | None = None, *, logits: bool = False,
              **options: Unpack[Options]) -> Speech:
        """As `generate`, with the tokens, how surely they were drawn, and the report: one
        utterance, never divided into sentences."""
        if options.get("sentences"):
            raise ValueError("sentences: speak gives the tokens of one utterance; generate and "
                             "stream speak sentence by sentence")
        speaking = self._start(text, speaker, context, max_audio_length_ms, temperature, topk,
                               options, logits, is_one=True)
        frames = list(speaking)
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
            report=speaking.report())

    def tokenize(self, text: str, speaker: int = 0) -> np.ndarray:
        """The ids int32 [n] of '[speaker]text' as the prompt has them."""
        return self._model.tokenize(text_of("text", text), integer("speaker", speaker, 0))

    def encode(self, audio: Any, sampling_rate: int | None = None) -> np.ndarray:
        """Codes int32 [n_frames, n_codebooks] of sound: arrays as Segment takes them."""
        info = self.info
        return self._model.encode(as_sound("audio", audio, sampling_rate, info["sample_rate"],
                                           info["layout"] != "hf"))

    def decode(self, codes: Any) -> np.ndarray:
        """Sound float32 [n_frames * 1920] of codes [n_frames, n_codebooks]."""
        return self._model.decode(_frames("codes", codes))

    def close(self) -> None:
        """Let go of the model's memory; later calls raise ValueError."""
        self._model.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, text: str, speaker: int | None, context: Sequence[Segment],
               max_audio_length_ms: float | None, temperature: float | None, topk: int | None,
               given: Options, logits: bool, is_one: bool = False) -> Speaking:
        options.check_names(given)
        words = text_of("text", text)
        if not words.strip():
            raise ValueError("text: empty, expected what to say")
        info = self.info
        is_normalized = options.flag("normalize", given.get("normalize"), self._is_embedded)
        by_sentence = options.flag("sentences", given.get("sentences"), self._is_embedded)
        utterances = Utterances(
            words, None if is_one else MAX_SENTENCE_BYTES if by_sentence else 0, is_normalized)
        turns, speaker = self._context(context, given.get("voice"), speaker, info)
        first_seed = options.seed_number(given.get("seed", 0))
        draws = options.draws(given, temperature, topk)
        guard = options.flag("guard", given.get("guard"), self._is_embedded)
        min_frames = math.ceil(options.length_frames("min_audio_length_ms",
                                                     given.get("min_audio_length_ms", 0), 0))
        max_frames = None if max_audio_length_ms is None else int(
            options.length_frames("max_audio_length_ms", max_audio_length_ms, FRAME_MS))
        if max_frames is not None and min_frames > max_frames:
            raise ValueError("min_audio_length_ms: expected 0 up to max_audio_length_ms")

        def begin(sentence: str, i: int, before: _csm.Turn | None) -> _csm.Generation:
            most = max_frames
            if most is None:
                most = self._model.frames_for(sentence, speaker, turns) + min_frames
            return self._model.start(
                sentence, speaker, [*turns, before] if before is not None else turns,
                seed=(first_seed + i) & 0xFFFFFFFFFFFFFFFF, max_frames=most, min_frames=min_frames,
                guard=guard, logits=logits, **draws)

        told = [*_csm.remark_text(words, is_normalized, self._is_embedded),
                *self._model.remarks(speaker, turns)]
        remarks = [warn(code, line) for code, line in told]
        speaking = Speaking(utterances, speaker, info["sample_rate"], begin)
        speaking.warnings += remarks
        return speaking

    def _context(self, context: Sequence[Segment], voice: str | None, speaker: int | None,
                 info: dict[str, Any]) -> tuple[list[_csm.Turn], int]:
        """The turns of the voice and the context, and who speaks."""
        if isinstance(context, Segment) or not isinstance(context, Sequence):
            raise TypeError(f"context: expected a list of Segments, not {type(context).__name__}")
        asked = None if speaker is None else integer("speaker", speaker, 0)
        own, turns = None, []
        if voice is not None:
            own, recorded = self._model.voice(text_of("voice", voice))
            turns = [_csm.Turn(words, who, codes=codes) for words, who, codes in recorded]
            if not turns and asked not in (None, own):
                raise ValueError(f"voice: {voice!r} is speaker {own} of the model, not speaker "
                                 f"{asked}")
        turns += [_turn(turn, info["sample_rate"], info["layout"] != "hf") for turn in context]
        return turns, next(n for n in (asked, own, info["default_speaker"]) if n is not None)


def _frames(name: str, codes: Any) -> np.ndarray:
    values = as_codes(name, codes)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"{name}: shape must be [n_frames, n_codebooks], not {list(values.shape)}")
    return values


def _adapters(adapter: Any) -> list[tuple[str, float]]:
    """One directory, or a list of directories and (directory, scale)."""
    if adapter is None:
        return []
    listed = adapter if isinstance(adapter, (list, tuple)) else [adapter]
    pairs = []
    for item in listed:
        path, scale = item if isinstance(item, tuple) and len(item) == 2 else (item, 1.0)
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError("adapter: expected a directory, or a list of directories or of "
                            f"(directory, scale), not {type(path).__name__}")
        pairs.append((text_of("adapter", os.fsdecode(path)), real("adapter", scale)))
    return pairs


def _named_adapters(adapters: Mapping[str, Any] | None) -> list[tuple[str, str, float]]:
    """Names, each with a directory or (directory, scale)."""
    if adapters is None:
        return []
    if not isinstance(adapters, Mapping):
        raise TypeError("adapters: expected a dict of names and directories, not "
                        f"{type(adapters).__name__}")
    return [(text_of("adapters", name), *_adapters([item])[0]) for name, item in adapters.items()]


def _turn(segment: Any, rate_hz: int, is_torchaudio: bool) -> _csm.Turn:
    """A turn of ours, or of Sesame's or csm-mlx's Segment: they have the same fields."""
    if not isinstance(segment, Segment):
        try:
            segment = Segment(segment.speaker, segment.text, segment.audio)
        except AttributeError:
            raise TypeError("context: expected Segments, not "
                            f"{type(segment).__name__}") from None
    return segment._turn(rate_hz, is_torchaudio)
