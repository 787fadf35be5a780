# SPDX-License-Identifier: Apache-2.0
"""A model without codec or tokenizer, completed from the cache."""

import json
import shutil
import struct
import subprocess

import pytest

from conftest import ROOT
from hub_server import Repo


def read(path):
    content = path.read_bytes()
    n = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (what["dtype"], what["shape"], content[8 + n:][slice(*what["data_offsets"])])
            for name, what in header.items()}


def write(path, tensors, grown=()):
    """`grown`: names of tensors whose first axis is longer than their bytes; those zeros
    are a hole of the file where the name comes last."""
    header, at = {}, 0
    ordered = sorted(tensors, key=lambda name: name in grown)
    for name in ordered:
        dtype, shape, data = tensors[name]
        n_bytes = {"F32": 4, "BF16": 2, "I64": 8}[dtype]
        for size in shape:
            n_bytes *= size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n_bytes]}
        at += n_bytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for name in ordered:
            file.seek(8 + len(head) + header[name]["data_offsets"][0])
            file.write(tensors[name][2])
        file.truncate(8 + len(head) + at)


LLAMA_IDS = 128256


@pytest.fixture
def parts(hub, tmp_path):
    """csm-a with a text table of csm-1b's length, without codec and tokenizer; and a hub
    that has both under the names where they are looked for."""
    golden = tmp_path / "golden"
    shutil.copytree(ROOT / "tests/golden/csm-a", golden)
    tensors = read(golden / "model.safetensors")
    codec = {name.removeprefix("codec_model."): tensors.pop(name)
             for name in list(tensors) if name.startswith("codec_model.")}
    config = json.loads((golden / "config.json").read_text())
    table = next(name for name in tensors if name.endswith("embed_text_tokens.weight"))
    dtype, (_, width), data = tensors[table]
    tensors[table] = (dtype, [LLAMA_IDS, width], data)
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    for directory in (whole, bare):
        directory.mkdir()
        shutil.copy(golden / "generation_config.json", directory)
        (directory / "config.json").write_text(json.dumps(
            {**config, "text_vocab_size": LLAMA_IDS}))
    shutil.copy(golden / "tokenizer.json", whole)
    write(bare / "model.safetensors", tensors, grown=[table])
    write(whole / "model.safetensors",
          {**tensors, **{f"codec_model.{n}": t for n, t in codec.items()}}, grown=[table])
    write(tmp_path / "mimi.safetensors", codec)
    hub.repos["kyutai/mimi"] = Repo({
        "config.json": json.dumps(config["codec_config"]).encode(),
        "model.safetensors": (tmp_path / "mimi.safetensors").read_bytes()})
    hub.repos["unsloth/csm-1b"] = Repo({
        "tokenizer.json": (golden / "tokenizer.json").read_bytes(),
        "model.safetensors": b"x" * 5000})
    return whole, bare


def test_codec_and_tokenizer_come_from_the_cache(parts, download, build_dir, tmp_path):
    def csm(*args):
        return subprocess.run([build_dir / "bin" / "csm", *args], capture_output=True, text=True,
                              env=download.environment())

    def speak(directory, name):
        done = csm("generate", "--text", "Hello.", "--model-path", directory, "--seed", "7",
                   "--engine", "native", "--max-audio-length-ms", "400",
                   "--output", tmp_path / f"{name}.wav")
        return done, (tmp_path / f"{name}.wav").read_bytes() if done.returncode == 0 else None

    whole, bare = parts
    done, sound = speak(whole, "whole")
    assert done.returncode == 0, done.stderr
    assert len(sound) > 1000

    lacking, _ = speak(bare, "lacking")
    assert lacking.returncode == 3
    assert "csm download unsloth/csm-1b --file tokenizer.json completes it" in lacking.stderr

    assert download(repo="kyutai/mimi").returncode == 0
    tokenizer = download("--file", "tokenizer.json", repo="unsloth/csm-1b")
    assert tokenizer.returncode == 0

    completed, same = speak(bare, "completed")
    assert completed.returncode == 0, completed.stderr
    assert same == sound
    told = csm("info", bare).stdout
    assert "that of kyutai/mimi in the hub cache is taken" in told
    assert "that of unsloth/csm-1b in the hub cache is taken" in told


def test_a_codec_of_another_size_is_not_taken(parts, hub, download, build_dir, tmp_path):
    whole, bare = parts
    config = json.loads((bare / "config.json").read_text())
    assert download(repo="kyutai/mimi").returncode == 0
    told = subprocess.run([build_dir / "bin" / "csm", "info", bare], capture_output=True, text=True,
                          env=download.environment()).stdout
    assert "kyutai/mimi in the hub cache is taken" in told
    config["vocab_size"] -= 1
    (bare / "config.json").write_text(json.dumps(config))
    done = subprocess.run([build_dir / "bin" / "csm", "codec", "encode", "--model-path", bare,
                           "a.wav", "a.safetensors"], capture_output=True, text=True,
                          env=download.environment())
    assert done.returncode == 3
    assert "csm download kyutai/mimi completes it" in done.stderr
