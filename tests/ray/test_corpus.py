# SPDX-License-Identifier: Apache-2.0
"""csm.ray.synthesize on a real cluster of three raylets: the corpus of csm synth alone."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from corpora import cluster, sounds, synth, texts, told, write

import csm.ray
from csm._csm import read_tensors

N = 150


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The manifest and the corpus of one csm synth."""
    folder = tmp_path_factory.mktemp("alone")
    items = list(texts(N))
    items[3] |= {"speaker": 1, "seed": -1}
    items[5] |= {"voice": "slt"}
    manifest = write(folder / "in.jsonl", items)
    synth(manifest, folder / "out", "--codes", "--retries", 1)
    return manifest, folder / "out"


def test_a_raylet_killed_at_a_third_changes_nothing(alone, tmp_path):
    manifest, whole = alone
    out = tmp_path / "o"
    with cluster(3) as (nodes, others):
        spoken = csm.ray.synthesize(csm.ray.read_manifest(manifest), output_dir=out, concurrency=3, batch_size=8, codes=True, retries=1)
        lines = []
        for row in spoken.iter_rows():
            lines.append(row)
            if len(lines) == N // 3:
                nodes.remove_node(others[0], allow_graceful=False)
        assert len(lines) == N and sum(node["Alive"] for node in ray.nodes()) == 2
    lines = [{k: v for k, v in row.items() if v is not None} for row in sorted(lines, key=lambda row: row["id"])]
    assert lines == told(whole / "manifest.jsonl")
    assert {n: d for n, d in sounds(out).items() if not n.endswith(".part")} == sounds(whole)


@pytest.fixture(scope="module")
def one_node():
    with cluster(1):
        yield


def test_rows_hold_bytes_and_codes_and_other_columns_stay(one_node, alone, tmp_path):
    _, whole = alone
    rows = [item | {"topic": i} for i, item in enumerate(texts(6))]
    rows[3] |= {"speaker": 1, "seed": -1}
    rows[5] |= {"voice": "slt"}
    spoken = csm.ray.synthesize(ray.data.from_items(rows), codes=True, retries=1, batch_size=2)
    spoken.write_parquet(str(tmp_path / "corpus"))
    table = pq.read_table(tmp_path / "corpus").sort_by("id").to_pylist()
    assert [row["topic"] for row in table] == list(range(6)) and len(table) == 6
    for row, line in zip(table, told(whole / "manifest.jsonl")):
        assert row["audio"] == (whole / line["audio_filepath"]).read_bytes()
        assert np.array_equal(row["codes"], read_tensors(str(whole / line["codes_filepath"]))["codes"])
        assert {k: row[k] for k in line} == line


def test_the_manifest_is_that_of_csm_synth(one_node, alone, tmp_path):
    manifest, whole = alone
    out = tmp_path / "o"
    spoken = csm.ray.synthesize(csm.ray.read_manifest(manifest), output_dir=out, codes=True, retries=1)
    assert csm.ray.write_manifest(spoken, out / "manifest.jsonl") == N
    assert told(out / "manifest.jsonl") == told(whole / "manifest.jsonl") and sounds(out) == sounds(whole)


def test_what_is_wrong_is_said(one_node, tmp_path):
    good = {"id": "a", "text": "No.", "voice": None}
    with pytest.raises(Exception, match='id b: "voice": '):
        csm.ray.synthesize(ray.data.from_items([good, good | {"id": "b", "voice": "nobody"}])).take_all()
    rows = csm.ray.synthesize(ray.data.from_items([good, good | {"id": "b", "voice": "nobody"}]), skip_bad=True).take_all()
    assert [(row["id"], row["error"] is None, row["audio"] is None) for row in rows] == [("a", True, False), ("b", False, True)]
    with pytest.raises(Exception, match="--temperature: -1, expected 0"):
        csm.ray.synthesize(ray.data.from_items([good]), temperature=-1).take_all()
    same = csm.ray.synthesize(ray.data.from_items([good, good | {"id": "A"}]), output_dir=tmp_path, batch_size=1)
    with pytest.raises(ValueError, match="two items have it"):
        csm.ray.write_manifest(same, tmp_path / "manifest.jsonl")
    assert not list(tmp_path.glob("manifest*"))
