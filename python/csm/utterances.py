# SPDX-License-Identifier: Apache-2.0
"""A text as csm generate speaks it: whole, or sentence by sentence with pauses between them."""

from __future__ import annotations

import re

from . import _csm

MAX_SENTENCE_BYTES = 240  # as the command's
PAUSE_MS = 160
SPACE = " \t\r\n"


class Utterances:
    """What is to be said: texts, the silence after each, and the silence before the first.

    max_bytes : of a sentence; 0: cut at pauses alone; None: one utterance, pauses are commas
    """

    def __init__(self, text: str, max_bytes: int | None, is_normalized: bool) -> None:
        self.texts: list[str] = []
        self.pauses_ms: list[int] = []
        self.lead_ms = 0
        if max_bytes is None or not (max_bytes or is_normalized):
            self._add(_csm.normalize(text) if is_normalized else text, 0, keep=True)
        elif is_normalized:
            for piece, pause_ms in _csm.pieces(text, max_bytes):
                self._add(piece, pause_ms)
        else:
            rest = text.lstrip(SPACE).encode()
            while rest:
                n = _csm.sentence(rest.decode(), max_bytes)
                self._add(rest[:n].decode(), 0)
                rest = rest[n:].lstrip(SPACE.encode())
        if not any(re.search(r"\S", text) for text in self.texts):
            raise ValueError("text: nothing to say, the text is empty")

    def _add(self, text: str, pause_ms: int, keep: bool = False) -> None:
        words = text if keep else text.strip(SPACE)
        if words or keep:
            self.texts.append(words)
            self.pauses_ms.append(pause_ms)
        elif self.texts:
            self.pauses_ms[-1] += pause_ms
        else:
            self.lead_ms += pause_ms

    @property
    def is_divided(self) -> bool:
        """More than one, or with a pause: what the command joins."""
        return len(self.texts) > 1 or self.lead_ms > 0 or self.pauses_ms[0] > 0

    def pause_after(self, i: int) -> int:
        return self.pauses_ms[i] or (PAUSE_MS if i + 1 < len(self.texts) else 0)
