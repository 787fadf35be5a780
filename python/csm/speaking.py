# SPDX-License-Identifier: Apache-2.0
"""Speech under way: utterances one after another, each with the one before it as context."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _csm
from .sound import warn
from .utterances import Utterances


@dataclass
class Frame:
    """80 ms of speech as drawn.

    Attributes
    ----------
    index : int
    codes : int32 [n_codebooks]
    margins, probs : float32 [n_codebooks]; how surely each code was drawn
    logits : float32 [n_codebooks, vocab], before temperature
    samples : float32 [1920], or None without sound; where sentences or pauses are joined, the
        frame before a silence has its samples too
    """

    index: int
    codes: np.ndarray
    margins: np.ndarray
    probs: np.ndarray
    logits: np.ndarray | None
    samples: np.ndarray | None


class Speaking:
    """An iterator over frames, which several threads may share; a `with` block closes it.

    begin : (text, the utterances's number, the turn before it or None) to a generation
    """

    def __init__(self, utterances: Utterances, speaker: int, rate_hz: int,
                 begin: Callable[[str, int, _csm.Turn | None], _csm.Generation]) -> None:
        self.warnings: list[str] = []
        self._utterances, self._speaker, self._rate_hz = utterances, speaker, rate_hz
        self._begin = begin
        self._at, self._n_frames = 0, 0
        self._codes: list[np.ndarray] = []  # of the utterance under way
        self._held: Frame | None = None  # the last frame, whose end may fade
        self._lock, self._is_closed = threading.Lock(), False
        self.generation = begin(utterances.texts[0], 0, None)  # arguments fail here, not later

    def __iter__(self) -> Speaking:
        return self

    def __next__(self) -> Frame:
        with self._lock:
            return self._frame()

    def close(self) -> None:
        """No more of it: nothing is drawn on. Closed or not, it ends with its last reference."""
        self._is_closed = True
        self.generation.cancel()  # before the lock: who waits for a frame waits no longer
        with self._lock:
            self.generation.cancel()  # a sentence that had begun meanwhile

    def __enter__(self) -> Speaking:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _frame(self) -> Frame:
        while self._at < len(self._utterances.texts):
            frame = None if self._is_closed else self._next()
            if frame is None and self._is_closed:
                break
            if frame is not None and not self._utterances.is_divided:
                return frame
            if frame is not None:
                ready, self._held = self._held, frame
            else:
                ready, self._held = self._held, None
                self._end_utterance(ready)
            if ready is not None:
                return ready
        raise StopIteration

    def report(self) -> dict[str, Any]:
        """Of the utterance under way, or the last."""
        return {**self.generation.report(), "warnings": list(self.warnings)}

    def _next(self) -> Frame | None:
        try:
            frame = Frame(**next(self.generation))
        except StopIteration:
            return None
        self._codes.append(frame.codes)
        frame.index = self._n_frames
        self._n_frames += 1
        if frame.index == 0 and self._utterances.lead_ms and frame.samples is not None:
            frame.samples = np.concatenate([self._silence(self._utterances.lead_ms), frame.samples])
        return frame

    def _silence(self, ms: int) -> np.ndarray:
        return np.zeros(self._rate_hz * ms // 1000, np.float32)

    def _end_utterance(self, last: Frame | None) -> None:
        """Its warnings, the fade of its last 10 ms and the silence after it, the next one."""
        texts, i = self._utterances.texts, self._at
        self._at += 1
        self.warnings += [warn(code, text) for code, text in self.generation.remarks()]
        if last is not None and last.samples is not None:
            n_fade = self._rate_hz // 100
            fade = np.arange(n_fade, dtype=np.float32)[::-1] / np.float32(n_fade)
            last.samples[-n_fade:] *= fade
            last.samples = np.concatenate([last.samples,
                                           self._silence(self._utterances.pause_after(i))])
        if self._at < len(texts):
            codes = np.stack(self._codes) if self._codes else None
            before = codes if codes is None else _csm.Turn(texts[i], self._speaker, codes=codes)
            self._codes = []
            self.generation = self._begin(texts[self._at], self._at, before)
