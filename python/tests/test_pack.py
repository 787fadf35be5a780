# SPDX-License-Identifier: Apache-2.0
"""csm.pack: a corpus as tars, the same bytes whoever made it and however often."""

import io
import json
import subprocess
import sys
import tarfile
import wave

import pytest

from csm.pack import Packed, pack

IDS = ["b/1", "a.x", "ä", "c", "B", "d.y.z", "e"]


@pytest.fixture(scope="module")
def corpora(csm_command, tmp_path_factory):
    """One corpus made twice: whole, and in three shards with the lines in another order."""
    folder = tmp_path_factory.mktemp("corpora")
    items = [json.dumps({"id": i, "text": "Hello there."}) + "\n" for i in IDS]
    (folder / "in.jsonl").write_text("".join(items))
    (folder / "other.jsonl").write_text("".join(items[::-1]))
    csm_command("synth", "--manifest", folder / "in.jsonl", "--output-dir", folder / "whole", "--codes")
    for i in 1, 2, 3:
        csm_command("synth", "--manifest", folder / "other.jsonl", "--output-dir", folder / "shards", "--codes",
                    "--shard", f"{i}/3")
    return folder / "whole", folder / "shards"


def packs(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_packs_are_the_same_however_the_corpus_was_made(corpora, tmp_path):
    for name, corpus in zip("ab", corpora):
        assert pack(corpus, tmp_path / name, "tar", items=3) == Packed(3, 0, 7)
    assert packs(tmp_path / "a") == packs(tmp_path / "b") and len(packs(tmp_path / "a")) == 3


def samples(tars):
    """As WebDataset groups members: the key is what stands before the first dot of the name."""
    found = {}
    for path in sorted(tars.glob("pack-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = tar.extractfile(member).read()
    return found


def test_each_item_is_a_sample_of_webdataset(corpora, tmp_path):
    pack(corpora[0], tmp_path, "tar", items=3)
    found = samples(tmp_path)
    lines = [json.loads(sample["json"]) for sample in found.values()]
    assert [line["id"] for line in lines] == sorted(IDS)
    assert list(found)[:2] == ["B", "a%2Ex"] and all(set(s) == {"json", "wav", "safetensors"} for s in found.values())
    for line, sample in zip(lines, found.values()):
        assert sample["wav"] == (corpora[0] / line["audio_filepath"]).read_bytes()
        assert sample["safetensors"] == (corpora[0] / line["codes_filepath"]).read_bytes()
        with wave.open(io.BytesIO(sample["wav"])) as sound:
            assert sound.getnframes() / 24000 == line["duration"]


def test_what_is_whole_is_kept(corpora, tmp_path):
    pack(corpora[0], tmp_path, "tar", items=3)
    whole = packs(tmp_path)
    (tmp_path / "pack-00001.tar").unlink()
    assert pack(corpora[0], tmp_path, "tar", items=3) == Packed(3, 2, 7) and packs(tmp_path) == whole
    assert pack(corpora[0], tmp_path, "tar", items=3) == Packed(3, 3, 7)
    with pytest.raises(ValueError, match="pack-00001.tar: no pack of this corpus"):
        pack(corpora[0], tmp_path, "tar", items=7)


def test_what_is_wrong_is_said_and_leaves_no_part(corpora, tmp_path):
    made, out = tmp_path / "made", tmp_path / "out"
    made.mkdir()
    with pytest.raises(ValueError, match="no manifest"):
        pack(made, out, "tar")
    line = {"id": "a", "audio_filepath": "a.wav", "bytes": 3}
    (made / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    (made / "a.wav").write_bytes(b"ab")
    with pytest.raises(ValueError, match="a.wav: 2 bytes, expected 3"):
        pack(made, out, "tar")
    assert not list(out.iterdir())
    (made / "manifest-1-of-2.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match="id a: .* have it"):
        pack(made, out, "tar")
    (made / "manifest-2-of-2.jsonl.unfinished").write_text("")
    with pytest.raises(ValueError, match="expected csm synth --resume first"):
        pack(made, out, "tar")
    for to, items in ("zip", 1), ("tar", 0):
        with pytest.raises(ValueError, match="expected"):
            pack(made, out, to, items)
    run = subprocess.run([sys.executable, "-m", "csm.pack", made, out, "--to", "tar"], capture_output=True, text=True)
    assert run.returncode == 3 and run.stderr.startswith("csm: ") and run.stderr.count("\n") == 1
