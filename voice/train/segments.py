# SPDX-License-Identifier: Apache-2.0
"""Rows for training a CSM: segments of text and audio, packed with their conversations.

A segment is `[speaker]text` in tokens, its frames, and one frame of zeros. Three kinds of
conversation are made of them: one segment alone; several turns of several speakers; and turns of
one voice under another speaker's number, which teach that a voice heard in the context counts for
more than the number. In the last kind the first turn is context alone: nothing tells its voice.
"""
import dataclasses
import gzip

import numpy as np
import torch

BEGIN, END = 256, 257           # text tokens around the bytes of a text
ALONE, TURNS, CLONED = 0.6, 0.2, 0.2        # shares of the conversations
MOST_TURNS = 3
OPEN_ROWS = 24                  # rows being filled at a time
HELD_OUT = 499                  # one sentence of so many is kept for validation


def byte_tokens(speaker, text):
    """The token ids of a segment's text: its bytes (export.py writes the same as a tokenizer)"""
    return [BEGIN, *f'[{speaker}]{text}'.encode(), END]


@dataclasses.dataclass
class Turn:
    text: list              # token ids
    codes: np.ndarray       # [frames, codebooks]
    learn: bool = True

    def __len__(self):
        return len(self.text) + len(self.codes) + 1


class Row:
    """A row being filled; arrays as csm_loss() takes them."""

    def __init__(self, time, n_codebooks):
        self.text = np.full(time, -1, np.int32)
        self.codes = np.full((time, n_codebooks), -1, np.int16)
        self.conversation = np.full(time, -1, np.int16)
        self.learn = np.zeros(time, bool)
        self.used = self.n_conversations = 0

    def room(self):
        return len(self.text) - self.used

    def add(self, turns):
        for turn in turns:
            start, audio = self.used, self.used + len(turn.text)
            self.used += len(turn)
            self.text[start:audio] = turn.text
            self.codes[audio:self.used - 1] = turn.codes
            self.codes[self.used - 1] = 0
            self.learn[audio:self.used] = turn.learn
            self.conversation[start:self.used] = self.n_conversations
        self.n_conversations += 1


class Utterances:
    """The encoded utterances of a directory, with their texts; grows as encode.py writes."""

    def __init__(self, directory, texts, held_out=False, share=(0, 1)):
        """held_out: those of the held-out sentences, else the others; share (k, n): each n-th file"""
        self.directory, self.texts, self.held_out, self.share = directory, texts, held_out, share
        self.read, self.files, self.indices = set(), [], np.zeros(0, int)
        self.grow()

    def grow(self):
        """Take in what has been encoded since."""
        k, n = self.share
        new = [path for path in sorted(self.directory.glob('*.npz'))[k::n] if path not in self.read]
        if not new:
            return
        self.read.update(new)
        self.files += [np.load(path) for path in new]
        self.sentence, self.speaker, self.n_frames, self.codes = (
            np.concatenate([file[name] for file in self.files])
            for name in ('sentence', 'speaker', 'n_frames', 'codes'))
        self.files = [{'sentence': self.sentence, 'speaker': self.speaker, 'n_frames': self.n_frames, 'codes': self.codes}]
        self.start = np.cumsum(self.n_frames, dtype=np.int64) - self.n_frames
        self.indices = np.flatnonzero((self.sentence % HELD_OUT == 0) == self.held_out)

    def __len__(self):
        return len(self.indices)

    @property
    def hours(self):
        return self.n_frames[self.indices].sum() / 12.5 / 3600 if len(self) else 0.0

    def turn(self, i, speaker=None, learn=True):
        """Utterance i, under another speaker's number if given"""
        text = byte_tokens(self.speaker[i] if speaker is None else speaker, self.texts[self.sentence[i]])
        return Turn(text, self.codes[self.start[i]:self.start[i] + self.n_frames[i]], learn)


def conversations(utterances, rng):
    """Group the utterances into conversations: lists of turns."""
    n_speakers = int(utterances.speaker.max()) + 1
    waiting = [[] for _ in range(n_speakers)]           # of each voice, for clones
    indices, at = rng.permutation(utterances.indices), 0
    while at < len(indices):
        kind, n = rng.random(), int(rng.integers(2, MOST_TURNS + 1))
        if kind < ALONE:
            yield [utterances.turn(indices[at])]
            at += 1
        elif kind < ALONE + TURNS:
            yield [utterances.turn(i) for i in indices[at:at + n]]
            at += n
        else:       # wait until some voice has n turns
            while at < len(indices):
                voice = utterances.speaker[indices[at]]
                waiting[voice].append(indices[at])
                at += 1
                if len(waiting[voice]) == n:
                    number = (voice + rng.integers(1, n_speakers)) % n_speakers
                    yield [utterances.turn(i, number, learn=k > 0) for k, i in enumerate(waiting[voice])]
                    waiting[voice].clear()
                    break


class Batches(torch.utils.data.IterableDataset):
    """Endless batches for csm_loss(): text, codes, conversation, learn.

    Each worker of a DataLoader goes through its own share of the files, again and again, and finds
    the new ones each time.
    """

    def __init__(self, directory, texts, n_rows, time, held_out=False, seed=0):
        self.directory, self.texts, self.held_out = directory, texts, held_out
        self.n_rows, self.time, self.seed = n_rows, time, seed

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        share = (worker.id, worker.num_workers) if worker else (0, 1)
        rng = np.random.default_rng([self.seed, share[0]])
        utterances = Utterances(self.directory, self.texts, self.held_out, share)
        open_rows, ready = [], []
        while True:
            for turns in conversations(utterances, rng):
                while sum(map(len, turns)) > self.time:
                    turns = turns[:-1]
                if turns:
                    self._place(turns, open_rows, ready)
                if len(ready) >= self.n_rows:
                    yield stack(ready[:self.n_rows])
                    ready = ready[self.n_rows:]
            utterances.grow()

    def _place(self, turns, open_rows, ready):
        """Into the fullest open row with room; when too many are open, the fullest is ready."""
        length = sum(map(len, turns))
        fitting = [row for row in open_rows if row.room() >= length]
        if fitting:
            row = min(fitting, key=Row.room)
        else:
            if len(open_rows) == OPEN_ROWS:
                fullest = min(open_rows, key=Row.room)
                open_rows.remove(fullest)
                ready.append(fullest)
            row = Row(self.time, turns[0].codes.shape[1])
            open_rows.append(row)
        row.add(turns)


def read_sentences(path):
    return gzip.open(path, 'rt').read().splitlines()


def stack(rows):
    return [torch.from_numpy(np.stack([getattr(row, name) for row in rows]))
            for name in ('text', 'codes', 'conversation', 'learn')]
