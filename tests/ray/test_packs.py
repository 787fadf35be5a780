# SPDX-License-Identifier: Apache-2.0
"""csm.pack's packs by the libraries that they are for."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from corpora import synth, texts, told, write

from csm._csm import read_tensors
from csm.pack import Packed, pack


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    items = [item | {"id": f"x.{i}/y"} for i, item in enumerate(texts(5))]
    synth(write(folder / "in.jsonl", items), folder / "out", "--codes")
    return folder / "out"


def test_webdataset_reads_tars(corpus, tmp_path):
    pack(corpus, tmp_path, "tar", items=2)
    samples = list(webdataset.WebDataset(str(tmp_path / "pack-{00000..00002}.tar"), shardshuffle=False).decode())
    assert [sample["json"] for sample in samples] == told(corpus / "manifest.jsonl")
    for sample in samples:
        assert sample["wav"] is not None and sample["__key__"] == sample["json"]["id"].replace(".", "%2E").replace("/", "%2F")


def test_parquet_has_lines_sounds_and_codes(corpus, tmp_path):
    for name in "ab":
        assert pack(corpus, tmp_path / name, "parquet", items=2) == Packed(3, 0, 5)
    assert all((tmp_path / "b" / p.name).read_bytes() == p.read_bytes() for p in (tmp_path / "a").iterdir())
    assert pack(corpus, tmp_path / "a", "parquet", items=2) == Packed(3, 3, 5)
    rows = pq.read_table(tmp_path / "a").to_pylist()
    for row, line in zip(rows, told(corpus / "manifest.jsonl"), strict=True):
        assert row["audio"] == (corpus / line["audio_filepath"]).read_bytes()
        assert np.array_equal(row["codes"], read_tensors(str(corpus / line["codes_filepath"]))["codes"])
        assert {k: line.get(k) for k in row.keys() - {"audio", "codes"}} == {
            k: v for k, v in row.items() if k not in ("audio", "codes")}
