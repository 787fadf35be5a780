# SPDX-License-Identifier: Apache-2.0
"""A corpus on Ray Data. What is spoken is what `csm synth` speaks: each actor of the pool feeds a
process of it (csm.worker), which has the model. Placing, streaming, back-pressure and what becomes
of lost nodes are Ray's."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import tempfile
import warnings
from typing import Any

import pyarrow as pa
import ray
import ray.data

from .._csm import read_tensors
from ..worker import KEYS, CommandDied, Worker

# What csm synth tells of an item (docs/CORPORA.md).
_COLUMNS = {
    "id": pa.string(), "audio_filepath": pa.string(), "text": pa.string(),
    "normalized_text": pa.string(), "duration": pa.float64(), "speaker": pa.int64(),
    "seed": pa.int64(), "attempts": pa.int64(), "ended": pa.string(),
    "warnings": pa.list_(pa.string()), "made_of": pa.string(), "bytes": pa.int64(),
    "codes_filepath": pa.string(), "error": pa.string()}
_LINE = "manifest_line"
_AUDIO = pa.binary()
_CODES = pa.list_(pa.list_(pa.int32()))


def read_manifest(path: str | os.PathLike[str]) -> ray.data.Dataset:
    """The lines of a manifest as `csm synth` reads them: a dataset with the column
    "manifest_line", which `synthesize` takes. (`ray.data.read_json` guesses types: the id "007" becomes 7,
    which is another name and another seed.)"""
    return ray.data.read_text(os.fspath(path)).map_batches(
        _lines_of, batch_format="pyarrow", fn_kwargs={"folder": pathlib.Path(path).resolve().parent})


def synthesize(dataset: ray.data.Dataset, *, output_dir: str | os.PathLike[str] | None = None,
               concurrency: int | tuple[int, int] = 1, num_cpus: float | None = 1,
               num_gpus: float | None = None, batch_size: int = 32, skip_bad: bool = False,
               **options: Any) -> ray.data.Dataset:
    """Speak a dataset whose rows are lines of a manifest.

    Parameters
    ----------
    dataset : of `read_manifest`; or rows with "id" and "text"; "speaker", "voice", "seed", "context"
        where given, or NeMo's or Lhotse's keys. Other columns come out as they went in
    output_dir : a directory that all nodes share: the files of `csm synth` are written there.
        None: the rows have the bytes instead
    concurrency : actors, each with a model; (m, n): as many as Ray finds useful. Reading needs a
        CPU beside theirs
    num_cpus, num_gpus : of each actor; fractions share a device. Without `threads` an actor has
        as many threads as CPUs
    batch_size : rows handed over at a time; an actor works on two of these
    skip_bad : rows that cannot be spoken come out with why in "error"; else they end the job
    options : of `csm synth`, under the same names (model_path, engine, device, retries, seed,
        format, codes, batch, ...); context's paths are those of the nodes

    Returns
    -------
    a dataset, spoken when it is consumed, of the rows of the manifest that `csm synth` writes; "error",
    null where there is none; and without output_dir "audio", the bytes of the file, and
    with codes=True "codes" [n_frames, n_codebooks]. Rows of equal id, text and settings are equal
    whoever spoke them, whenever, and however often.

    Raises
    ------
    When it is consumed, as Ray does: ValueError: a bad row, or options that csm synth refuses;
    csm.worker.CommandDied: the process ended by itself. One that something else has killed is an
    actor that died, which Ray starts again.
    """
    if "threads" not in options and num_cpus:
        options["threads"] = max(1, int(num_cpus))
    n_least = concurrency if isinstance(concurrency, int) else concurrency[0]
    if ray.is_initialized() and n_least * (num_cpus or 0) >= ray.cluster_resources().get("CPU", 0):
        warnings.warn(f"concurrency: {n_least} actors take every CPU of the cluster, none is left to read the "
                      "dataset with: it waits until there is one", stacklevel=2)
    sizes = {"size": concurrency} if isinstance(concurrency, int) else {
        "min_size": concurrency[0], "max_size": concurrency[1]}
    pool = ray.data.ActorPoolStrategy(**sizes, max_tasks_in_flight_per_actor=4,
                                      max_concurrent_calls_per_actor=2,
                                      enable_true_multi_threading=True)
    return dataset.repartition(target_num_rows_per_block=batch_size).map_batches(
        _Speaker, batch_size=batch_size, batch_format="pyarrow", compute=pool, num_cpus=num_cpus,
        num_gpus=num_gpus, zero_copy_batch=True,
        fn_constructor_kwargs={
            "output_dir": None if output_dir is None else os.fspath(output_dir),
            "skip_bad": skip_bad, "options": options})


def write_manifest(spoken: ray.data.Dataset, path: str | os.PathLike[str]) -> int:
    """Speak what `synthesize` returned and write its manifest as `csm synth` has it, one line an
    item in the order in which they are done, whole or not at all.

    Returns
    -------
    how many items it has

    Raises
    ------
    ValueError : two items have the same id, letters' case aside, and so the same files
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    ids: set[str] = set()
    try:
        with beside.open("w", encoding="utf-8") as manifest:
            for row in spoken.iter_rows():
                if row["error"] is not None:
                    continue
                if row["id"].lower() in ids:
                    raise ValueError(f"id {row['id']}: two items have it, expected one of each")
                ids.add(row["id"].lower())
                line = {key: row[key] for key in _COLUMNS
                        if row.get(key) is not None or key == "audio_filepath"}
                manifest.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return len(ids)


class _Speaker:
    """An actor of the pool."""

    def __init__(self, output_dir: str | None, skip_bad: bool, options: dict[str, Any]) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="csm-ray-") if output_dir is None else None
        self._directory = pathlib.Path(output_dir or self._scratch.name)
        self._skip_bad = skip_bad
        self._has_codes = bool(options.get("codes"))
        self._worker = Worker(self._directory, **options)

    def __call__(self, batch: pa.Table) -> pa.Table:
        items = _items_of(batch)
        try:
            answers = self._worker.speak(items)
        except CommandDied as died:
            if died.returncode in (-signal.SIGKILL, -signal.SIGTERM):
                os._exit(1)  # something else ended it: an actor that died, for Ray to replace
            raise
        bad = next((a for a in answers if "error" in a), None)
        if bad is not None and not self._skip_bad:
            raise ValueError(f"id {bad.get('id')}: {bad['error']}")
        table = pa.table({name: pa.array([a.get(name) for a in answers], kind)
                          for name, kind in _COLUMNS.items()})
        if self._scratch is not None:
            table = self._with_contents(table, answers)
        for name in batch.column_names:
            if name not in (*table.column_names, *KEYS, _LINE):
                table = table.append_column(name, batch.column(name))
        return table

    def _with_contents(self, table: pa.Table, answers: list[dict[str, Any]]) -> pa.Table:
        sounds = [self._take(a.get("audio_filepath"), pathlib.Path.read_bytes) for a in answers]
        table = table.append_column("audio", pa.array(sounds, _AUDIO))
        if self._has_codes:
            codes = [self._take(a.get("codes_filepath"), _codes_of) for a in answers]
            table = table.append_column("codes", pa.array(codes, _CODES))
        return table

    def _take(self, name: str | None, read: Any) -> Any:
        if name is None:
            return None
        path = self._directory / name
        contents = read(path)
        path.unlink()
        return contents


def _codes_of(path: pathlib.Path) -> list[list[int]]:
    return read_tensors(os.fspath(path))["codes"].tolist()


def _lines_of(batch: pa.Table, folder: pathlib.Path) -> pa.Table:
    return pa.table({_LINE: pa.array([_with_paths(line, folder) for line in batch["text"].to_pylist()],
                                     pa.string())})


def _with_paths(line: str, folder: pathlib.Path) -> str:
    """Paths of context's sound count from the manifest's folder on."""
    try:
        item = json.loads(line)
    except ValueError:  # csm synth says what is wrong with it
        return line
    turns = item.get("context") if isinstance(item, dict) else None
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict) and isinstance(turn.get("audio_filepath"), str):
            turn["audio_filepath"] = str(folder / turn["audio_filepath"])
    return json.dumps(item) if turns else line


def _items_of(batch: pa.Table) -> list[Any]:
    if _LINE in batch.column_names:
        return batch[_LINE].to_pylist()
    rows = batch.select([n for n in batch.column_names if n in KEYS]).to_pylist()
    return [_without_nulls(row) for row in rows]


def _without_nulls(value: Any) -> Any:
    """A table has a null wherever another row has a value; a line of a manifest has no such key."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
