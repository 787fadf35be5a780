# SPDX-License-Identifier: Apache-2.0
"""Which file of a directory is the model, and what of it is used: as transformers decides it,
live, or said, never dropped. One small random model in the shapes that people keep it in."""

import json
import os
import random
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from layouts import MLX, SESAME, language, names
from transformers_frames import Reference, random_model

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
HEAD = "lm_head.weight"
TABLES = ("backbone_model.embed_tokens.embed_audio_tokens.weight",
          "depth_decoder.model.embed_tokens.weight")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    print(f"CSM_SEED={SEED}")
    directory = tmp_path_factory.mktemp("good") / "model"
    return random_model(directory, SEED, 4, (2, 64, 4, 2, 16, 96), (2, 48, 4, 1, 12, 80))


@pytest.fixture
def model(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def tensors_of(model):
    return load_file(model / "model.safetensors")


def config(model, **changes):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def speak(csm, model, *more, check=True):
    """The codes, or what was said instead; and standard error."""
    out = model.parent / "t.safetensors"
    done = csm("generate", "--model-path", model, "--text", "Hello", "--engine", "native", "--dtype",
               "f32", "--strategy", "exact", "--seed", 3, "--temperature", 0.9, "--topk", 50,
               "--max-audio-length-ms", 320, "--output", "none", "--save-tokens", out, *more,
               check=False)
    if check:
        assert done.returncode == 0, done.stderr
        # The limit of these runs is the test's: what is said of the model is looked at.
        said = [line for line in done.stderr.splitlines(True) if "speech was cut" not in line]
        return load_file(out)["codes"], "".join(said)
    assert done.returncode == 3, (done.returncode, done.stderr)
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("csm: "), done.stderr
    return lines[0]


def notes(csm, model):
    return json.loads(csm("info", model, "--json").stdout)["notes"]


def bound_head(build_dir, model, tmp_path):
    """The head of code 0 that csm binds."""
    out = tmp_path / "bound.safetensors"
    done = subprocess.run([build_dir / "bin" / "dump_checkpoint", model, out, "1"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_file(out)["0.17.0"].float()


def save_as(model, name, tensors, index=None):
    save_file({k: v.contiguous() for k, v in tensors.items()}, model / name, {"format": "pt"})
    if index is not None:
        (model / index).write_text(json.dumps({"metadata": {},
                                               "weight_map": dict.fromkeys(tensors, name)}))


def tuned(tensors, by):
    """The same model after some training of its head: told apart by it."""
    return tensors | {HEAD: tensors[HEAD] * 0 + by}


# ---- which file ------------------------------------------------------------------

def stale_shards(model, tensors):
    """save_pretrained into a snapshot of the hub: the old shards and their index stay."""
    save_as(model, "transformers-00001-of-00001.safetensors", tuned(tensors, 1),
            "transformers.safetensors.index.json")


def said_by_config(model, tensors):
    stale_shards(model, tensors)
    config(model, transformers_weights="transformers.safetensors.index.json")


def said_file(model, tensors):
    save_as(model, "other.safetensors", tuned(tensors, 2))
    config(model, transformers_weights="other.safetensors")


def own_index_before_others(model, tensors):
    (model / "model.safetensors").unlink()
    save_as(model, "a-1.safetensors", tuned(tensors, 3), "a.safetensors.index.json")
    save_as(model, "model-x.safetensors", tuned(tensors, 4), "model.safetensors.index.json")


def index_of_absent_shards(model, tensors):
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(tensors, "gone.safetensors")}))


def forgotten_by_the_map(model, tensors):
    (model / "model.safetensors").unlink()
    save_as(model, "m-1.safetensors", tuned(tensors, 5), "model.safetensors.index.json")
    index = json.loads((model / "model.safetensors.index.json").read_text())
    del index["weight_map"][HEAD]
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def shards_below(model, tensors):
    (model / "model.safetensors").unlink()
    (model / "a" / "b").mkdir(parents=True)
    save_as(model, "a/b/m-1.safetensors", tuned(tensors, 6), "model.safetensors.index.json")


def shards_here(model, tensors):
    shards_below(model, tensors)
    index = model / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("a/b/", "./a/b/"))


def sesame_before_hf_shards(model, tensors):
    """csm-1b's own repository: Sesame's file is called model.safetensors."""
    said_by_config(model, tensors)
    settings = json.loads((model / "config.json").read_text())
    save_as(model, "model.safetensors", dict(names(tensors, settings, SESAME)))


@pytest.mark.parametrize("change", [stale_shards, said_by_config, said_file,
                                    own_index_before_others, index_of_absent_shards,
                                    forgotten_by_the_map, shards_below, shards_here,
                                    sesame_before_hf_shards])
def test_the_file_is_the_one_that_transformers_takes(build_dir, model, tmp_path, change):
    change(model, tensors_of(model))
    want = transformers.CsmForConditionalGeneration.from_pretrained(model).lm_head.weight
    assert torch.equal(bound_head(build_dir, model, tmp_path), want.detach().float())


@pytest.mark.parametrize("n, stem, digits", [(2, "model", 5), (3, "pytorch_model", 5), (5, "merged-16bit", 5),
                                             (2, "model", 1), (12, "a-1-of", 2), (3, "m", 6)])
def test_numbered_shards_without_an_index_are_a_set(csm, good, model, n, stem, digits):
    tensors = tensors_of(model)
    (model / "model.safetensors").unlink()
    keys = sorted(tensors)
    for i in range(n):
        save_as(model, f"{stem}-{i + 1:0{digits}}-of-{n:0{digits}}.safetensors",
                {k: tensors[k] for k in keys[i::n]})
    assert torch.equal(speak(csm, model)[0], speak(csm, good)[0])
    missing = model / f"{stem}-{n:0{digits}}-of-{n:0{digits}}.safetensors"
    missing.unlink()
    assert missing.name + ": missing" in speak(csm, model, check=False)


def test_a_file_that_config_names_must_be_there_and_inside(csm, model):
    config(model, transformers_weights="no.safetensors")
    assert "no.safetensors: missing, expected by config.json" in speak(csm, model, check=False)
    for name in "../model.safetensors", "model.bin", 3:
        config(model, transformers_weights=name)
        assert "transformers_weights: expected" in speak(csm, model, check=False)


@pytest.mark.parametrize("where", ["/tmp/{}", "../{}", "a/../../{}", "", ".."])
def test_an_index_names_no_file_elsewhere(csm, model, where):
    tensors = tensors_of(model)
    (model / "model.safetensors").rename(model.parent / "m.safetensors")
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(tensors, where.format("m.safetensors"))}))
    assert "expected a file in this directory or below it" in speak(csm, model, check=False)


@pytest.mark.parametrize("by", [0.5, None])
def test_a_tensor_that_two_shards_hold_is_the_indexs_and_said(build_dir, csm, good, model, tmp_path, by):
    """transformers takes the last file's, whatever the index says."""
    tensors = tensors_of(model)
    (model / "model.safetensors").unlink()
    save_as(model, "m-1.safetensors", tensors, "model.safetensors.index.json")
    index = json.loads((model / "model.safetensors.index.json").read_text())
    name = next(k for k in tensors if k.endswith("layers.0.mlp.up_proj.weight"))
    index["weight_map"][name] = "m-2.safetensors"
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    save_as(model, "m-2.safetensors", {
        name: tensors[name].clone(), HEAD: tensors[HEAD].clone() if by is None else tensors[HEAD] * by})
    codes, said = speak(csm, model)
    assert torch.equal(codes, speak(csm, good)[0])
    assert (f"as for {HEAD} that of m-1.safetensors, not m-2.safetensors" in said) == (by is not None)


def test_of_two_models_that_only_their_names_order_it_is_said(csm, good, model):
    """Checkpoints of a training: step_1000 comes before step_200."""
    tensors = tensors_of(model)
    (model / "model.safetensors").rename(model / "step_1000.safetensors")
    save_as(model, "step_200.safetensors", tuned(tensors, 7))
    save_as(model, "optimizer.safetensors", {"state." + k: v for k, v in tensors.items()})
    codes, said = speak(csm, model)
    assert torch.equal(codes, speak(csm, good)[0])
    assert "step_200.safetensors is a model, too, and not used: step_1000.safetensors comes first" in said
    assert "optimizer" not in said
    (model / "step_1000.safetensors").rename(model / "model.safetensors")
    assert speak(csm, model)[1] == ""


@pytest.mark.parametrize("prefix", ["language_model.", "talker."])
def test_names_of_another_program_are_told(csm, model, prefix):
    save_as(model, "model.safetensors", {prefix + k: v for k, v in language(tensors_of(model)).items()})
    said = speak(csm, model, check=False)
    assert "model.safetensors has no tensor by the name of a CSM's; its first of" in said and prefix in said


def test_what_macos_keeps_beside_a_file_is_no_shard(csm, good, model):
    tensors = tensors_of(model)
    (model / "model.safetensors").rename(model / "m-00001-of-00001.safetensors")
    (model / "._m-00001-of-00001.safetensors").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X" + bytes(80))
    assert tensors and torch.equal(speak(csm, model)[0], speak(csm, good)[0])


def test_matrices_of_zeros_are_said(csm, model):
    """A download that was given its size before it was cut short."""
    path = model / "model.safetensors"
    n = path.stat().st_size
    assert speak(csm, model)[1] == ""
    with open(path, "r+b") as file:
        file.truncate(n // 2)
        file.truncate(n)
    said = speak(csm, model)[1]
    assert "hold zeros alone" in said and "was the file downloaded whole?" in said
    assert any(n["is_warning"] and "zeros alone" in n["text"] for n in notes(csm, model))


def test_the_root_of_a_cached_repository_is_told_from_its_snapshots(csm, tmp_path):
    for name in "blobs", "snapshots", "refs":
        (tmp_path / "models--a--b" / name).mkdir(parents=True)
    assert "snapshots/" in speak(csm, tmp_path / "models--a--b", check=False)


@pytest.mark.parametrize("there", ["checkpoint-100", "snapshots/abc", "last"])
@pytest.mark.parametrize("file", ["model.safetensors", "adapter_config.json"])
def test_a_directory_above_models_names_one(csm, good, tmp_path, there, file):
    (tmp_path / "out" / there).mkdir(parents=True)
    (tmp_path / "out" / there / file).write_text("{}")
    for d in [tmp_path / "out", *([tmp_path / "out" / "snapshots"] if "/" in there else [])]:
        assert f"{tmp_path}/out/{there} is one" in speak(csm, d, check=False)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json",
                                  "tokenizer_config.json", "adapter_config.json"])
def test_a_link_of_a_cache_that_leads_nowhere_is_told(csm, model, name):
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to("../../blobs/0123")
    said = speak(csm, model, check=False)
    assert f"{name}: a link that leads nowhere" in said and "downloaded whole?" in said


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"])
def test_a_git_lfs_pointer_is_told_whatever_it_stands_for(csm, model, name):
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    said = speak(csm, model, check=False)
    assert name in said and "git lfs pull" in said


@pytest.mark.parametrize("name", ["adapter_model", "adapters", "adapter", "lora", "pytorch_lora_weights"])
@pytest.mark.parametrize("pair", ["base_model.model.backbone_model.layers.0.self_attn.q_proj.lora_A.weight",
                                  "backbone.layers.0.self_attn.q_proj.lora_b"])
def test_an_adapter_that_nothing_applies_is_said(csm, good, model, name, pair):
    save_file({pair: torch.ones(2, 2)}, model / f"{name}.safetensors")
    codes, said = speak(csm, model, "--quiet")
    assert torch.equal(codes, speak(csm, good)[0])
    assert f"{name}.safetensors is not used: an adapter (LoRA) without its adapter_config.json" in said


def test_the_file_of_an_adapter_is_told_from_its_directory(csm, good, model):
    assert "is a file: expected the directory" in speak(csm, good, "--adapter", model / "model.safetensors", check=False)


def test_an_adapter_in_a_directory_of_its_name_is_told(csm, good, tmp_path):
    """PEFT saves an adapter that is called anna below the directory that it is given."""
    (tmp_path / "out" / "anna").mkdir(parents=True)
    (tmp_path / "out" / "anna" / "adapter_config.json").write_text("{}")
    assert f"{tmp_path}/out/anna is one" in speak(csm, good, "--adapter", tmp_path / "out", check=False)


def sound_of(csm, model, tmp_path):
    codes = np.random.default_rng(1).integers(0, 512, (6, 4)).astype(np.int32)
    save_file({"codes": torch.from_numpy(codes)}, tmp_path / "c.safetensors")
    csm("codec", "decode", tmp_path / "c.safetensors", tmp_path / "c.pcm", "--format", "f32le",
        "--model-path", model)
    return (tmp_path / "c.pcm").read_bytes()


@pytest.mark.parametrize("part", ["model", "codec"])
def test_mimi_under_its_names_in_memory(csm, good, tmp_path, part):
    """As save_file(model.state_dict()), accelerate and save_original_format=False leave it."""
    whole = transformers.CsmForConditionalGeneration.from_pretrained(good, dtype=torch.float32)
    saved = whole if part == "model" else whole.codec_model
    named, small = tmp_path / "named", tmp_path / "small"
    named.mkdir()
    save_file({k: v.clone() for k, v in saved.state_dict().items()}, named / "model.safetensors")
    (named / "config.json").write_text(saved.config.to_json_string())
    (named / "tokenizer.json").symlink_to(good / "tokenizer.json")
    heard = sound_of(csm, good, tmp_path)
    assert sound_of(csm, named, tmp_path) == heard
    if part == "model":
        assert torch.equal(speak(csm, named)[0], speak(csm, good)[0])
        csm("quantize", named, small, "--bits", 8, "--group", 32)
        assert sound_of(csm, small, tmp_path) == heard


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_codec_that_makes_no_numbers_is_no_silence(csm, model, tmp_path, value):
    tensors = tensors_of(model)
    name = next(k for k in tensors if k.startswith("codec_model.decoder.layers") and k.endswith("conv.weight"))
    tensors[name][0] = value
    save_file(tensors, model / "model.safetensors")
    for how in ["generate", "--text", "Hi.", "--max-audio-length-ms", 160], None:
        if how is None:
            np.save(tmp_path / "c.npy", np.ones((2, 4), np.int32))
            how = ["codec", "decode", tmp_path / "c.npy"]
        out = ["--output"] * (how[0] == "generate") + [tmp_path / "o.wav"]
        done = csm(*how, *out, "--model-path", model, check=False)
        assert done.returncode == 4 and "of what was decoded is" in done.stderr
        assert not (tmp_path / "o.wav").exists()


# ---- names with wrappers around them ----------------------------------------------

WRAPPERS = {
    "torch.compile": lambda k: "_orig_mod." + k,
    "DataParallel": lambda k: "module." + k,
    "PEFT": lambda k: "base_model.model." + k,
    "PEFT of a compiled one": lambda k: "base_model.model._orig_mod." + k,
    "DataParallel of a compiled one": lambda k: "module._orig_mod." + k,
    "Fabric": lambda k: "_forward_module." + k,
    "FSDP, nested": lambda k: "_fsdp_wrapped_module." + k.replace(
        ".layers.1.", ".layers.1._fsdp_wrapped_module."),
    "a compiled backbone": lambda k: re.sub(r"^(backbone\w*)\.", r"\1._orig_mod.", k),
    "checkpointed layers": lambda k: k.replace(".layers.0.",
                                               ".layers.0._checkpoint_wrapped_module."),
    "PEFT's base layers": lambda k: "base_model.model." + k.replace("q_proj.", "q_proj.base_layer."),
}


@pytest.mark.parametrize("layout, wrapper", [("hf", w) for w in WRAPPERS] + [
    ("sesame", "DataParallel of a compiled one"), ("sesame", "a compiled backbone"),
    ("mlx", "torch.compile"), ("mlx", "PEFT's base layers")])
def test_wrappers_are_taken_off_and_said(csm, model, layout, wrapper):
    tensors = tensors_of(model)
    settings = json.loads((model / "config.json").read_text())
    codec = {k.removeprefix("codec_model."): v for k, v in tensors.items()
             if k.startswith("codec_model.")}
    if layout != "hf":
        tensors = dict(names(tensors, settings, SESAME if layout == "sesame" else MLX))
        save_as(model, "mimi.safetensors", codec)
    save_as(model, "model.safetensors", tensors)
    plain, said = speak(csm, model)
    assert said == ""
    wrapped = {WRAPPERS[wrapper](k): v for k, v in tensors.items()}
    assert wrapped.keys() != tensors.keys()
    save_as(model, "model.safetensors", wrapped)
    codes, said = speak(csm, model)
    assert torch.equal(codes, plain)
    assert said.startswith("csm: model.safetensors: what a wrapper put before names is taken off")
    assert any(n["is_warning"] and "wrapper" in n["text"] for n in notes(csm, model))
    assert speak(csm, model, "--quiet")[1] == said


def test_a_lightning_module_holds_the_model(csm, good, model):
    save_as(model, "model.safetensors", {"model." + k: v for k, v in tensors_of(model).items()})
    codes, said = speak(csm, model)
    assert torch.equal(codes, speak(csm, good)[0]) and "model." in said


def test_one_name_twice_is_refused(csm, model):
    tensors = tensors_of(model)
    save_as(model, "model.safetensors", tensors | {"module." + HEAD: tensors[HEAD].clone()})
    assert "both are lm_head.weight" in speak(csm, model, check=False)


# ---- tensors that no role reads -----------------------------------------------------

LAYER = "backbone_model.layers.1."
REFUSED = [LAYER + "self_attn.q_proj.bias", LAYER + "self_attn.q_norm.weight",
           "lm_head.bias", "depth_decoder.model.layers.0.mlp.extra.weight",
           LAYER + "self_attn.v_proj.lora_A.weight", LAYER + "mlp.up_proj.lora_B.default.weight",
           "embed_text_tokens.lora_embedding_A", "backbone_model.norm.bias"]
WARNED = ["backbone_model.layers.2.self_attn.q_proj.weight", "lm_head_2.weight",
          "backbone_model.adapter_gate.weight", "depth_decoder.model.layers.7.mlp.up_proj.weight",
          "codec_model.extra.weight"]
NOTED = ["optimizer.state.0.exp_avg", "global_step", "text_classifier.weight",
         LAYER + "self_attn.rotary_emb.inv_freq",
         "codec_model.encoder.layers.0.conv.padding_total"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_numbers_is_refused_by_name(csm, model, name):
    save_as(model, "model.safetensors", tensors_of(model) | {name: torch.ones(3, 3)})
    assert name in speak(csm, model, check=False)


@pytest.mark.parametrize("name", WARNED + NOTED)
def test_what_transformers_ignores_is_said(csm, good, model, name):
    save_as(model, "model.safetensors", tensors_of(model) | {name: torch.ones(3)})
    codes, said = speak(csm, model)
    assert torch.equal(codes, speak(csm, good)[0])
    assert (name in said) == (name in WARNED)
    assert [n["is_warning"] for n in notes(csm, model) if name in n["text"]] == [name in WARNED]


@pytest.mark.parametrize("a, b", [("lora_A.weight", "lora_B.weight"), ("lora_a", "lora_b"),
                                  ("lora.down.weight", "lora.up.weight")])
def test_an_unmerged_pair_of_sesames_names_is_refused(csm, model, a, b):
    tensors = tensors_of(model)
    settings = json.loads((model / "config.json").read_text())
    out = dict(names(tensors, settings, SESAME))
    stem = "backbone.layers.0.attn.q_proj."
    save_as(model, "model.safetensors", out | {stem + a: torch.ones(4, 64), stem + b:
                                               torch.ones(64, 4)})
    save_as(model, "mimi.safetensors", {k.removeprefix("codec_model."): v for k, v in
                                        tensors.items() if k.startswith("codec_model.")})
    assert stem + a in speak(csm, model, check=False)


@pytest.mark.parametrize("noise", [1e-3, 0.1, 1])
def test_unequal_copies_of_a_tied_table_are_two_as_in_transformers(csm, model, noise):
    tensors = tensors_of(model)
    table = tensors.get(TABLES[0], tensors.get(TABLES[1]))
    torch.manual_seed(SEED)
    tensors |= {TABLES[0]: table.clone(), TABLES[1]: table + noise * torch.randn(table.shape)}
    save_as(model, "model.safetensors", tensors)
    codes, said = speak(csm, model)
    want, _ = Reference(model, "f32").generate("Hello", len(codes), seed=3)
    assert np.array_equal(codes.numpy(), want)
    assert "differ, though config.json ties them" in said
    save_as(model, "model.safetensors", tensors | {TABLES[1]: table.clone()})
    assert speak(csm, model)[1] == ""


# ---- another port's layout ----------------------------------------------------------

def csm_hf(model, layers, tied_heads):
    """csm-hf: csm-mlx's names, rows of q and k as halves, two LlamaConfigs."""
    c = json.loads((model / "config.json").read_text())
    d = c["depth_decoder_config"]
    out = {}
    for (name, _), (old, value) in zip(
            names(tensors_of(model), c, MLX),
            ((k, v) for k, v in language(tensors_of(model)).items())):
        out[name] = value  # as transformers has its rows
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings")

    def llama(part):
        rope = dict(part["rope_parameters"])
        said = {k: part[k] for k in keys if k in part} | {"model_type": "llama"}
        return said | {"rope_theta": rope.pop("rope_theta"),
                       "rope_scaling": rope if rope["rope_type"] != "default" else None}

    codec = {k.removeprefix("codec_model."): v for k, v in tensors_of(model).items()
             if k.startswith("codec_model.")}
    save_as(model, "model.safetensors", out)
    save_as(model, "mimi.safetensors", codec)
    (model / "config.json").write_text(json.dumps(dict(
        architectures=["CSMModel"], model_type="csm", audio_num_codebooks=c["num_codebooks"],
        audio_vocab_size=c["vocab_size"], text_vocab_size=c["text_vocab_size"],
        backbone_config=llama(c), decoder_config=llama(d), codec_config=c["codec_config"])))


@pytest.mark.parametrize("sizes", [((2, 64, 4, 2, 16, 96), (2, 48, 4, 1, 12, 80)),
                                   ((3, 96, 6, 6, 16, 64), (1, 64, 2, 2, 32, 48)),
                                   ((1, 64, 8, 1, 8, 128), (3, 32, 2, 1, 16, 64))])
def test_csm_hf_is_told_from_csm_mlx(csm, tmp_path, sizes):
    model = random_model(tmp_path / "model", SEED, 4, *sizes, rope=sizes[0][0] != 3)
    plain, _ = speak(csm, model, "--sampler", "sesame")
    csm_hf(model, sizes, False)
    codes, said = speak(csm, model, "--sampler", "sesame")
    assert torch.equal(codes, plain) and said == ""
    assert json.loads(csm("info", model, "--json").stdout)["layout"] == "csm-hf"


# ---- rotation -------------------------------------------------------------------------

@pytest.mark.parametrize("scaling", [
    {"rope_type": "default"}, {"type": "default"}, {},
    {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 64},
    {"rope_type": "default", "rope_theta": 100.0}])
def test_rope_scaling_goes_before_rope_parameters(csm, model, scaling):
    config(model, rope_scaling=scaling, rope_parameters={
        "rope_type": "llama3", "rope_theta": 1000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 16})
    codes, _ = speak(csm, model)
    want, _ = Reference(model, "f32").generate("Hello", len(codes), seed=3)
    assert np.array_equal(codes.numpy(), want)


@pytest.mark.parametrize("beside, among", [(16, None), (16, 64), (None, 64), (None, None)])
def test_the_original_length_beside_the_rules_goes_before_theirs(csm, model, beside, among):
    rules = {"rope_type": "llama3", "rope_theta": 1000.0, "factor": 8.0, "low_freq_factor": 1.0,
             "high_freq_factor": 4.0}
    key = "original_max_position_embeddings"
    config(model, rope_parameters=rules | ({key: among} if among else {}), **({key: beside} if beside else {}))
    codes, _ = speak(csm, model)
    want, _ = Reference(model, "f32").generate("Hello", len(codes), seed=3)
    assert np.array_equal(codes.numpy(), want)


@pytest.mark.parametrize("is_inside", [False, True])
def test_heads_that_are_rotated_in_part_are_refused(csm, model, is_inside):
    rope = json.loads((model / "config.json").read_text())["rope_parameters"]
    part = {"partial_rotary_factor": 0.5}
    config(model, **({"rope_parameters": rope | part} if is_inside else part))
    assert "partial_rotary_factor: expected 1" in speak(csm, model, check=False)


@pytest.mark.parametrize("keeps", [(2,), (0,), (), None])
def test_ends_of_a_text_that_its_tokenizer_does_not_put_are_said(csm, good, model, keeps):
    """Llama's own tokenizer.json beside a fine-tuned CSM: csm puts the ends, transformers does not."""
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    if keeps is None:
        tokenizer["post_processor"] = None
    else:
        template = next(p for p in [tokenizer["post_processor"],
                                    *tokenizer["post_processor"].get("processors", [])]
                        if p["type"] == "TemplateProcessing")
        whole = template["single"]
        template["single"] = [whole[i] for i in range(3) if i == 1 or i in keeps]
    path.write_text(json.dumps(tokenizer))
    codes, said = speak(csm, model)
    assert torch.equal(codes, speak(csm, good)[0])
    assert said.count("\n") == 1
    assert ("<|begin_of_text|>" in said) == (keeps is None or 0 not in keeps)
    assert ("<|end_of_text|>" in said) == (keeps is None or 2 not in keeps)


# ---- what trainings leave ----------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"model": d, "step": 7},
                                  lambda d: {"state_dict": d, "optimizer": {}}],
                         ids=["state_dict", "model", "lightning"])
def test_the_way_out_of_a_pickle_works(csm, model, tmp_path, wrap):
    """Of tied tables, too, which save_file refuses as they are."""
    want, _ = speak(csm, model)
    state = transformers.CsmForConditionalGeneration.from_pretrained(model).state_dict()
    assert len({t.data_ptr() for t in state.values() if t.numel()}) < len(state)
    (model / "model.safetensors").unlink()
    torch.save(wrap(state), model / "pytorch_model.bin")
    said = speak(csm, model, check=False)
    command = re.search(r"convert it(?: there)?: python3(.*)", said)[1]
    subprocess.run(f"{sys.executable}{command}", shell=True, check=True, cwd=model)
    assert torch.equal(speak(csm, model)[0], want)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_weights_that_are_no_numbers_are_named(csm, model, value, dtype):
    name = "backbone_model.layers.1.self_attn.k_proj.weight"
    tensors = {k: v.to(dtype) if "_proj" in k else v for k, v in tensors_of(model).items()}
    tensors[name][3, 4] = value
    save_as(model, "model.safetensors", tensors)
    said = speak(csm, model, check=False)
    assert f"{name}: element {3 * 64 + 4} is NaN or Inf, expected numbers" in said
    assert str(model / "model.safetensors") in said


@pytest.mark.parametrize("files, says", [
    (["zero_to_fp32.py", "latest"], "python zero_to_fp32.py . OUT"),
    (["__0_0.distcp", ".metadata"], "accelerate merge-weights DIR OUT,"),
    (["pytorch_model_fsdp_0", "trainer_state.json"], "of the directory pytorch_model_fsdp_0 in it")])
def test_divided_checkpoints_are_told_how_to_be_joined(csm, model, files, says):
    (model / "model.safetensors").unlink()
    for name in files:
        (model / name).touch()
    assert says in speak(csm, model, check=False)
