# SPDX-License-Identifier: Apache-2.0
"""Processes of the csm command for programs that place work themselves.

`Worker` speaks the items of a corpus: `csm synth --manifest -`, so that seeds, retries and the
bytes of files are those of `csm synth`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import IO, Any

from . import _csm
from .cli.command import COMMAND

# What a line of a manifest may hold (docs/CORPORA.md); other columns of a table stay out of it.
KEYS = ("id", "text", "speaker", "voice", "seed", "context", "supervisions", "custom",
        "recording_id", "duration", "audio_filepath")


def arguments(options: Mapping[str, Any]) -> list[str]:
    """The command's options: `top_p=0.9` is --top-p 0.9, True is --name, False --no-name, a list
    one of each; None is left out."""
    given: list[str] = []
    for key, value in options.items():
        name = "--" + key.replace("_", "-")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is None:
                continue
            if isinstance(one, bool):
                given.append(name if one else "--no-" + name[2:])
            else:
                given += [name, os.fspath(one) if isinstance(one, os.PathLike) else str(one)]
    return given


def environment() -> dict[str, str]:
    """For processes of the command: where they ask PyTorch or MLX, those of this Python."""
    return {"CSM_PYTHON": sys.executable, **os.environ}


def _id_of(line: str) -> str | None:
    """None: the line has none, or is none; csm synth says so."""
    try:
        item = json.loads(line)
    except ValueError:
        return None
    name = item.get("id") if isinstance(item, dict) else None
    return None if name is None else str(name)


class CommandDied(_csm.EngineError):
    """The process ended before its work did.

    Attributes
    ----------
    returncode : as subprocess has it; below 0: the signal that ended it
    """

    def __init__(self, message: str, returncode: int) -> None:
        super().__init__(message)
        self.returncode = returncode

    def __reduce__(self) -> tuple[type[CommandDied], tuple[str, int]]:
        return type(self), (self.args[0], self.returncode)


class Worker:
    """A process of `csm synth --manifest -` with a model of its own.

    Parameters
    ----------
    directory : where the files are written; made if it is not there
    options : the command's, as `arguments` reads them (model_path, batch, retries, format, ...)

    Any number of threads may ask at once: their items are spoken side by side.
    """

    def __init__(self, directory: str | os.PathLike[str], **options: Any) -> None:
        for name in ("manifest", "output_dir", "shard", "resume", "skip_bad"):
            if name in options:
                raise ValueError(f"{name}: whoever hands over the items decides this")
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._ids: set[str] = set()
        self._n_lines = 0
        self._gone: Exception | None = None  # why nobody answers any more
        self._said = ""
        self._process = subprocess.Popen(
            [COMMAND, "synth", "--manifest", "-", "--output-dir", os.fspath(directory),
             *arguments(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment())
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._lines: IO[str] = self._process.stdin
        self._threads = [threading.Thread(target=run, args=(pipe,), daemon=True) for run, pipe in
                         ((self._pass_on, self._process.stderr), (self._take, self._process.stdout))]
        for thread in self._threads:
            thread.start()

    def speak(self, items: Iterable[Mapping[str, Any] | str]) -> list[dict[str, Any]]:
        """Speak items, lines of a manifest or the objects in them, and wait for all of them.

        Returns
        -------
        what `csm synth` says of each in its manifest; {"error": why} with its "id", if it has one,
        where it cannot be spoken

        Raises
        ------
        ValueError : another item of that id is being spoken; the options were refused
        CommandDied : the process is gone
        """
        lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
        ids = [name for name in map(_id_of, lines) if name is not None]
        with self._lock:
            twice = next((name for i, name in enumerate(ids)
                          if name in self._ids or name in ids[:i]), None)
            if twice is not None:
                raise ValueError(f"id {twice}: another item has it, expected one of each")
            self._ids.update(ids)
        try:
            return [future.result() for future in [self._ask(line) for line in lines]]
        finally:
            with self._lock:
                self._ids.difference_update(ids)

    def close(self) -> None:
        """Finish what is being spoken, then end the process."""
        with contextlib.suppress(BrokenPipeError):  # it is gone already
            self._lines.close()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, line: str) -> Future[dict[str, Any]]:
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            self._n_lines += 1
            if self._gone is not None:
                raise self._gone
            self._waiting[self._n_lines] = future
            try:
                self._lines.write(line + "\n")
                self._lines.flush()
            except OSError:  # _take says why it is gone
                pass
        return future

    def _pass_on(self, errors: IO[str]) -> None:
        for line in errors:
            self._said = line.rstrip("\n")
            sys.stderr.write(line)

    def _take(self, answers: IO[str]) -> None:
        for text in answers:
            answer = json.loads(text)
            self._waiting.pop(answer.pop("line")).set_result(answer)
        code = self._process.wait()
        self._threads[0].join()
        with self._lock:
            self._gone = (ValueError(self._said.removeprefix("csm: ")) if code in (2, 3) else
                          CommandDied(f"csm synth: exit {code}: {self._said}", code))
            for future in self._waiting.values():
                future.set_exception(self._gone)
            self._waiting.clear()
