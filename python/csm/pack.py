# SPDX-License-Identifier: Apache-2.0
"""A corpus of `csm synth` as WebDataset's tars or as Parquet.

python -m csm.pack CORPUS OUT --to tar|parquet [--items 1000]

Packs are made of the corpus alone: items in the order of their ids, however many shards, runs or
machines spoke them, and every byte the same each time. A pack is written beside and renamed; one
that is there and whole is kept, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

from . import _csm


@dataclasses.dataclass(frozen=True)
class Packed:
    """What `pack` did: how many packs there are, how many of them were kept, and their items."""

    n_packs: int
    n_kept: int
    n_items: int


@dataclasses.dataclass(frozen=True, order=True)
class _Place:
    """Where the line of an item is."""

    id: str
    manifest: int
    offset: int


def pack(corpus: str | os.PathLike[str], out: str | os.PathLike[str], to: str,
         items: int = 1000) -> Packed:
    """Pack a corpus.

    Parameters
    ----------
    corpus : what `csm synth --output-dir` was: every manifest*.jsonl in it is read
    out : a directory, made if it is not there: pack-00000.tar, ... or pack-00000.parquet, ...
    to : "tar": of each item KEY.json, its line, and KEY.wav or whatever its sound is, and KEY.safetensors
        where it has codes; KEY is the id with every byte but letters, digits, - and _ as %XX,
        since WebDataset ends keys at a dot. "parquet" (needs pyarrow): a row an item, the line's keys as columns,
        "audio" the bytes of the file, and where there are codes "codes", lists of frames
    items : of each pack, but the last one's

    Items without sound are left out.

    Raises
    ------
    ValueError : unfinished shards, an id twice, a line or a file that is not csm synth's
    OSError : a file cannot be read or written
    """
    if to not in _WRITERS:
        raise ValueError(f"to: '{to}', expected tar or parquet")
    if items < 1:
        raise ValueError(f"items: {items}, expected 1 or more")
    folder, target = pathlib.Path(corpus), pathlib.Path(out)
    manifests = _manifests(folder)
    places = _places(folder, manifests)
    target.mkdir(parents=True, exist_ok=True)
    n_kept = 0
    n_packs = -(-len(places) // items)
    for i in range(n_packs):
        lines = list(_lines(manifests, places[i * items:(i + 1) * items]))
        n_kept += _keep_or_write(folder, target / f"pack-{i:05}.{to}", lines, _WRITERS[to])
    _refuse_others(target, to, n_packs)
    return Packed(n_packs, n_kept, len(places))


# ---- what is in the corpus -------------------------------------------------------------


def _manifests(folder: pathlib.Path) -> list[pathlib.Path]:
    unfinished = sorted(folder.glob("manifest*.jsonl.unfinished"))
    if unfinished:
        raise ValueError(f"{unfinished[0]}: that run is not done, expected csm synth --resume first")
    found = sorted(folder.glob("manifest*.jsonl"))
    if not found:
        raise ValueError(f"{folder}: no manifest*.jsonl, expected a corpus of csm synth")
    return found


def _places(folder: pathlib.Path, manifests: list[pathlib.Path]) -> list[_Place]:
    """Of all items with sound, by id."""
    places = []
    for number, path in enumerate(manifests):
        with path.open("rb") as file:
            offset = 0
            for text in file:
                line = json.loads(text)
                if not isinstance(line, dict) or not isinstance(line.get("id"), str):
                    raise ValueError(f"{path}: byte {offset}: no \"id\", expected a line of csm synth")
                if line.get("audio_filepath") is not None:
                    places.append(_Place(line["id"], number, offset))
                offset += len(text)
    places.sort()
    for one, other in zip(places, places[1:], strict=False):
        if one.id == other.id:
            raise ValueError(f"{folder}: id {one.id}: {manifests[one.manifest].name} and "
                             f"{manifests[other.manifest].name} have it, expected one of each")
    return places


def _lines(manifests: list[pathlib.Path], places: list[_Place]) -> Iterator[dict[str, Any]]:
    files = [path.open("rb") for path in manifests]
    try:
        for place in places:
            files[place.manifest].seek(place.offset)
            yield json.loads(files[place.manifest].readline())
    finally:
        for file in files:
            file.close()


def _read(folder: pathlib.Path, line: dict[str, Any]) -> bytes:
    """The sound of an item."""
    path = folder / line["audio_filepath"]
    sound = path.read_bytes()
    if len(sound) != line["bytes"]:
        raise ValueError(f"{path}: {len(sound)} bytes, expected {line['bytes']}, as its line tells")
    return sound


# ---- one pack ------------------------------------------------------------------------------

_Writer = Callable[[pathlib.Path, pathlib.Path, list[dict[str, Any]], str], None]


def _digest(lines: list[dict[str, Any]]) -> str:
    """Of all that a pack is made of: a line tells what its files are made of."""
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def _keep_or_write(folder: pathlib.Path, path: pathlib.Path, lines: list[dict[str, Any]],
                   write: _Writer) -> bool:
    """Whether it was there, made of these lines."""
    digest = _digest(lines)
    if path.exists() and _digest_in(path) == digest:
        return True
    beside = path.with_name(path.name + ".part")
    try:
        write(folder, beside, lines, digest)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return False


def _digest_in(path: pathlib.Path) -> str | None:
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            return tar.pax_headers.get("comment")
    import pyarrow.parquet as pq

    held = (pq.read_schema(path).metadata or {}).get(b"made_of")
    return None if held is None else held.decode()


def _refuse_others(target: pathlib.Path, to: str, n_packs: int) -> None:
    """A reader of pack-*.tar would take them for this corpus."""
    known = {f"pack-{i:05}.{to}" for i in range(n_packs)}
    other = next((p for p in sorted(target.glob(f"pack-*.{to}")) if p.name not in known), None)
    if other is not None:
        raise ValueError(f"{other}: no pack of this corpus, expected a directory of its own")


def _key(name: str) -> str:
    return "".join(chr(b) if chr(b).isascii() and (chr(b).isalnum() or chr(b) in "-_") else f"%{b:02X}"
                   for b in name.encode())


def _write_tar(folder: pathlib.Path, path: pathlib.Path, lines: list[dict[str, Any]],
               digest: str) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": digest}) as tar:
        for line in lines:
            key = _key(line["id"])
            ending = pathlib.PurePath(line["audio_filepath"]).suffix
            told = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
            members = [(".json", told), (ending, _read(folder, line))]
            if line.get("codes_filepath"):
                members.append((".safetensors", (folder / line["codes_filepath"]).read_bytes()))
            for suffix, data in members:
                member = tarfile.TarInfo(key + suffix)  # its times and owners are 0
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _write_parquet(folder: pathlib.Path, path: pathlib.Path, lines: list[dict[str, Any]],
                   digest: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"id": pa.string(), "text": pa.string(), "normalized_text": pa.string(),
             "duration": pa.float64(), "speaker": pa.int64(), "seed": pa.int64(), "attempts": pa.int64(),
             "ended": pa.string(), "warnings": pa.list_(pa.string()), "made_of": pa.string()}
    columns = {name: pa.array([line.get(name) for line in lines], kind)
               for name, kind in kinds.items()}
    columns["audio"] = pa.array([_read(folder, line) for line in lines], pa.binary())
    if any(line.get("codes_filepath") for line in lines):
        columns["codes"] = pa.array([_codes(folder, line) for line in lines],
                                    pa.list_(pa.list_(pa.int32())))
    table = pa.table(columns).replace_schema_metadata({"made_of": digest})
    pq.write_table(table, path, compression="zstd")


def _codes(folder: pathlib.Path, line: dict[str, Any]) -> list[list[int]] | None:
    name = line.get("codes_filepath")
    return _csm.read_tensors(os.fspath(folder / name))["codes"].tolist() if name else None


_WRITERS: dict[str, _Writer] = {"tar": _write_tar, "parquet": _write_parquet}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m csm.pack", description="A corpus of csm synth as "
                                     "WebDataset's tars or as Parquet.")
    parser.add_argument("corpus", help="what csm synth --output-dir was")
    parser.add_argument("out", help="a directory for the packs")
    parser.add_argument("--to", required=True, choices=sorted(_WRITERS))
    parser.add_argument("--items", type=int, default=1000, help="of each pack (1000)")
    args = parser.parse_args()
    try:
        done = pack(args.corpus, args.out, args.to, args.items)
    except (ValueError, OSError) as error:
        print(f"csm: {error}", file=sys.stderr)
        return 3
    print(f"{done.n_items} items in {done.n_packs} packs, {done.n_kept} of them of a run before")
    return 0


if __name__ == "__main__":
    sys.exit(main())
