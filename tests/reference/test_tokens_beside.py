# SPDX-License-Identifier: Apache-2.0
"""Added tokens, wherever a directory names them: codes of a text that has them against
transformers, whose AutoTokenizer reads the directory."""

import json
import os
import random

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from transformers_frames import Reference, random_model

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
TEXT = "Hello <laugh> there <sigh> you<laugh>"
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
CLASS = {"tokenizer_class": "PreTrainedTokenizerFast"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A model whose text table has rows to spare."""
    print(f"CSM_SEED={SEED}")
    directory = random_model(tmp_path_factory.mktemp("m") / "model", SEED, 4, (2, 64, 4, 2, 16, 96),
                             (1, 48, 4, 1, 12, 80))
    (directory / "generation_config.json").unlink()
    tensors = load_file(directory / "model.safetensors")
    table = tensors["embed_text_tokens.weight"]
    torch.manual_seed(SEED)
    tensors["embed_text_tokens.weight"] = torch.cat([table, torch.randn(64, table.shape[1])])
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"text_vocab_size": len(table) + 64}))
    return Reference(directory, "f32")


def compare(csm, grown, tmp_path, files, text=TEXT):
    """files: by name, contents; "added": appended to tokenizer.json's added tokens; "padding": the
    token of its padding, as tokenizers' enable_padding leaves it."""
    model = tmp_path / "model"
    model.mkdir()
    for name in "config.json", "model.safetensors":
        (model / name).symlink_to(grown.dir / name)
    tokenizer = json.loads((grown.dir / "tokenizer.json").read_text())
    tokenizer["added_tokens"] += [FLAGS | t for t in files.pop("added", [])]
    if "padding" in files:
        tokenizer["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                                "pad_id": 0, "pad_type_id": 0, "pad_token": files.pop("padding")}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    for name, content in files.items():
        (model / name).write_text(json.dumps(content))
    out = tmp_path / "t.safetensors"
    csm("generate", "--model-path", model, "--text", text, "--engine", "native", "--dtype", "f32",
        "--strategy", "exact", "--seed", 5, "--temperature", 0.9, "--topk", 50, "--no-normalize",
        "--max-audio-length-ms", 240, "--output", "none", "--save-tokens", out, "--quiet")
    codes = load_file(out)["codes"].numpy()
    ids = transformers.AutoTokenizer.from_pretrained(model)(f"[0]{text}", return_tensors="pt")["input_ids"]
    settings = dict(do_sample=True, temperature=0.9, top_k=50)
    torch.manual_seed(5)
    want = grown.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(codes), **settings,
        **{f"depth_decoder_{k}": v for k, v in settings.items()})[0].numpy()
    assert len(codes) > 0 and np.array_equal(codes, want)


# csm-a's tokenizer has 516 tokens and 12 added ones; the ids here are what files say.
@pytest.mark.parametrize("added", [
    [(528, "<laugh>"), (529, "<sigh>")], [(550, "<laugh>"), (540, "<sigh>")],
    [(529, "<laugh>"), (528, "<sigh>")], [(5, "<laugh>"), (5, "<sigh>")],
    [(528, "<laugh>"), (529, "<laugh>"), (530, "<sigh>")], [(528, "Hello"), (529, " there")],
    [(528, "<laugh> there"), (529, "<laugh>")]])
def test_ids_of_added_tokens_are_numbered_as_tokenizers_does(csm, grown, tmp_path, added):
    compare(csm, grown, tmp_path, {"added": [{"id": i, "content": c} for i, c in added]})


def test_one_named_twice_has_the_flags_of_the_second(csm, grown, tmp_path):
    compare(csm, grown, tmp_path, {"added": [
        {"id": 528, "content": "<laugh>"}, {"id": 528, "content": "<laugh>", "lstrip": True}]})


DECODER = {str(540 + i): FLAGS | {"content": c} for i, c in enumerate(["<sigh>", "<laugh>"])}


@pytest.mark.parametrize("files", [
    {"added_tokens.json": {"<laugh>": 529, "<sigh>": 528}},
    {"added_tokens.json": {"<laugh>": 528, "<sigh>": 517}},
    {"added_tokens.json": {"<laugh>": 528}, "special_tokens_map.json": {"pad_token": "<laugh>"}},
    {"tokenizer_config.json": CLASS | {"added_tokens_decoder": DECODER, "model_max_length": 10**30}},
    {"tokenizer_config.json": CLASS | {"added_tokens_decoder": DECODER},
     "added_tokens.json": {"there": 530}},
    {"tokenizer_config.json": CLASS | {"additional_special_tokens": ["<sigh>", "<laugh>"]}},
    {"tokenizer_config.json": CLASS | {"extra_special_tokens": {"sigh_token": "<sigh>"}}},
    {"tokenizer_config.json": CLASS | {"extra_special_tokens": {"sigh_token": "<sigh>"},
                                       "additional_special_tokens": ["<laugh>"]}},
    {"tokenizer_config.json": CLASS | {"additional_special_tokens": ["<laugh>"]},
     "special_tokens_map.json": {"additional_special_tokens": ["<sigh>", "<laugh>"]}},
    {"tokenizer_config.json": CLASS | {"additional_special_tokens": ["<laugh>", "<sigh>"]}, "padding": "[PAD]"},
    {"tokenizer_config.json": CLASS | {"additional_special_tokens": ["<laugh>"], "pad_token": "<sigh>"},
     "padding": "[PAD]"},
    {"tokenizer_config.json": CLASS | {"sound_token": "<sigh>", "pad_token": "<laugh>"}},
    {"tokenizer_config.json": CLASS, "special_tokens_map.json": {
        "unk_token": {"content": "<laugh>", "lstrip": True, "rstrip": False, "normalized": False,
                      "single_word": False}, "additional_special_tokens": ["<sigh>"]}},
    {"tokenizer_config.json": CLASS | {"add_eos_token": False, "add_bos_token": False}},
], ids=lambda f: "+".join(f"{n}:{','.join(v)[:40]}" for n, v in f.items()))
def test_tokens_that_files_beside_the_tokenizer_name(csm, grown, tmp_path, files):
    compare(csm, grown, tmp_path, dict(files))


def test_special_tokens_may_be_text(csm, grown, tmp_path):
    compare(csm, grown, tmp_path, {"tokenizer_config.json": CLASS | {"split_special_tokens": True}},
            "Hello <|AUDIO|> there")


@pytest.mark.parametrize("name, content, said", [
    ("tokenizer_config.json", {"added_tokens_decoder": {"a": {"content": "<x>"}}}, "expected an id"),
    ("added_tokens.json", {"<x>": "5"}, "added_tokens.json: <x>: expected an id")])
def test_files_that_name_no_tokens_are_refused(csm, grown, tmp_path, name, content, said):
    for file in "config.json", "model.safetensors", "tokenizer.json":
        (tmp_path / file).symlink_to(grown.dir / file)
    (tmp_path / name).write_text(json.dumps(content))
    done = csm("generate", "--model-path", tmp_path, "--text", "Hi", "--output", "none", check=False)
    assert done.returncode == 3 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_quantized_model_keeps_its_tokens(csm, grown, tmp_path):
    model, small = tmp_path / "model", tmp_path / "q8"
    model.mkdir()
    for name in "config.json", "model.safetensors", "tokenizer.json":
        (model / name).symlink_to(grown.dir / name)
    (model / "added_tokens.json").write_text(json.dumps({"<laugh>": 528}))
    csm("quantize", model, small, "--bits", 8)
    assert json.loads((small / "added_tokens.json").read_text()) == {"<laugh>": 528}
