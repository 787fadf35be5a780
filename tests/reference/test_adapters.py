# SPDX-License-Identifier: Apache-2.0
"""Adapters of csm-mlx against mlx-lm's own fuse, live; any adapter over any layout; where one
is looked for, csm merge, and what is refused. PEFT itself: test_adapters_peft.py."""

import json
import os
import random
import shutil
import struct

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch
from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear
from safetensors.torch import load_file, save_file

from layouts import MLX, SESAME, names
from transformers_frames import random_model

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
mx.set_default_device(mx.cpu)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """One model in three layouts."""
    print(f"CSM_SEED={SEED}")
    root = tmp_path_factory.mktemp("bases")
    random_model(root / "hf", SEED, 4, (2, 64, 4, 2, 16, 96), (2, 48, 4, 1, 12, 80))
    config = json.loads((root / "hf" / "config.json").read_text())
    tensors = load_file(root / "hf" / "model.safetensors")
    for name, of_layer in ("sesame", SESAME), ("mlx", MLX):
        (root / name).mkdir()
        save_file({k: v.contiguous() for k, v in names(tensors, config, of_layer)},
                  root / name / "model.safetensors")
        save_file({k.removeprefix("codec_model."): v for k, v in tensors.items()
                   if k.startswith("codec_model.")}, root / name / "mimi.safetensors")
        for file in "config.json", "tokenizer.json":
            shutil.copyfile(root / "hf" / file, root / name / file)
    return root


def speak(csm, model, *more, check=True):
    out = model.parent / f"{os.getpid()}.safetensors"
    done = csm("generate", "--model-path", model, "--text", "Hello there", "--engine", "native",
               "--dtype", "f32", "--strategy", "exact", "--sampler", "transformers", "--seed", 3,
               "--temperature", 0.9, "--topk", 50, "--max-audio-length-ms", 320, "--output", "none",
               "--save-tokens", out, *more, check=False)
    if not check:
        assert done.returncode in (2, 3), done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("csm: "), done.stderr
        return done.stderr
    assert done.returncode == 0, done.stderr
    # The limit of these runs is the test's: what is said of the model is looked at.
    said = [line for line in done.stderr.splitlines(True) if "speech was cut" not in line]
    return load_file(out)["codes"], "".join(said)


# ---- csm-mlx's -------------------------------------------------------------------------

MODULES = {
    "attention": r"backbone.layers.{}.self_attn.q_proj backbone.layers.{}.self_attn.k_proj "
                 r"decoder.layers.{}.self_attn.v_proj decoder.layers.{}.self_attn.k_proj",
    "mlp": r"backbone.layers.{}.mlp.up_proj decoder.layers.{}.mlp.down_proj",
    "tables": "text_embeddings audio_embeddings",
    "projection": "projection codebook0_head",
}


def mlx_adapter(base, directory, kind, rank, scale, use_dora=False, merged=None):
    """An adapter as csm-mlx's trainer writes it; `merged` receives what mlx-lm's fuse gives."""
    tensors = load_file(base / "model.safetensors")
    rng = np.random.default_rng(SEED + rank)
    modules = {m.format(i) for m in MODULES[kind].split() for i in range(2)}
    out, fused = {}, dict(tensors)
    for module in sorted(modules):
        weight = mx.array(tensors[module + ".weight"].numpy())
        is_table = "embeddings" in module
        layer = nn.Embedding(*weight.shape) if is_table else nn.Linear(*weight.shape[::-1],
                                                                       bias=False)
        layer.weight = weight
        kind_of = {(0, 0): LoRALinear, (0, 1): LoRAEmbedding, (1, 0): DoRALinear,
                   (1, 1): DoRAEmbedding}[use_dora, is_table]
        lora = kind_of.from_base(layer, r=rank, scale=scale)
        for leaf in "lora_a", "lora_b":
            lora[leaf] = mx.array(rng.normal(0, 0.2, lora[leaf].shape).astype(np.float32))
            out[f"{module}.{leaf}"] = torch.from_numpy(np.array(lora[leaf]))
        if use_dora:
            lora.m = lora.m * mx.array(rng.uniform(0.5, 1.5, lora.m.shape).astype(np.float32))
            out[f"{module}.m"] = torch.from_numpy(np.array(lora.m))
        fused[module + ".weight"] = torch.from_numpy(np.array(lora.fuse().weight))
    directory.mkdir(exist_ok=True)
    save_file(out, directory / "adapters.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({
        "lora_parameters": {"rank": rank, "scale": scale, "dropout": 0.0, "keys": ["attn"]},
        "fine_tune_type": "dora" if use_dora else "lora"}))
    if merged is not None:
        shutil.copytree(base, merged)
        save_file(fused, merged / "model.safetensors")


@pytest.mark.parametrize("kind, rank, scale, use_dora", [
    ("attention", 8, 2.0, False), ("mlp", 1, 20.0, False), ("tables", 4, 1.0, False),
    ("projection", 16, 0.5, False), ("attention", 4, 2.0, True), ("tables", 3, 1.0, True)])
def test_csm_mlx_adapters_are_mlx_lms_fuse_over_every_layout(csm, bases, tmp_path, kind, rank,
                                                             scale, use_dora):
    mlx_adapter(bases / "mlx", tmp_path / "a", kind, rank, scale, use_dora, tmp_path / "merged")
    want, _ = speak(csm, tmp_path / "merged")
    plain, _ = speak(csm, bases / "mlx")
    assert not torch.equal(want, plain)
    for layout in "mlx", "hf", "sesame":
        assert torch.equal(speak(csm, bases / layout, "--adapter", tmp_path / "a")[0], want), layout


def test_modules_trained_whole_beside_pairs(csm, bases, tmp_path):
    """--train-embeddings, --save-all: whole modules, also inside the wrapper's names."""
    mlx_adapter(bases / "mlx", tmp_path / "a", "mlp", 4, 1.0, False, tmp_path / "m")
    tensors = load_file(tmp_path / "a" / "adapters.safetensors")
    whole = {"text_embeddings.weight": 0, "audio_head": 0,
             "backbone.layers.0.mlp.up_proj.linear.weight": 0}
    merged = load_file(tmp_path / "m" / "model.safetensors")
    torch.manual_seed(SEED)
    for name in whole:
        stored = merged[name.replace(".linear", "")]
        tensors[name] = stored + 0.05 * torch.randn(stored.shape)
        if ".linear" not in name:
            merged[name] = tensors[name]
    stem = "backbone.layers.0.mlp.up_proj."
    merged[stem + "weight"] = tensors[stem + "linear.weight"] + (
        tensors[stem + "lora_a"] @ tensors[stem + "lora_b"]).T
    save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "a" /
              "adapters.safetensors")
    save_file({k: v.contiguous() for k, v in merged.items()}, tmp_path / "m" / "model.safetensors")
    want, _ = speak(csm, tmp_path / "m")
    assert torch.equal(speak(csm, bases / "mlx", "--adapter", tmp_path / "a")[0], want)


# ---- PEFT's, over other layouts ----------------------------------------------------------

def peft_adapter(directory, settings=None, tensors=None, **more):
    """A pair on q of layer 1 of the backbone and k of the depth decoder, unless others are given."""
    torch.manual_seed(SEED)
    directory.mkdir(exist_ok=True)
    stem = "base_model.model."
    default = {}
    for module, rows, cols in (("backbone_model.layers.1.self_attn.q_proj", 64, 64),
                               ("depth_decoder.model.layers.0.self_attn.k_proj", 12, 48)):
        default[f"{stem}{module}.lora_A.weight"] = 0.3 * torch.randn(4, cols)
        default[f"{stem}{module}.lora_B.weight"] = 0.3 * torch.randn(rows, 4)
    save_file(default if tensors is None else default | tensors,
              directory / "adapter_model.safetensors", {"format": "pt"})
    (directory / "adapter_config.json").write_text(json.dumps(dict(
        peft_type="LORA", r=4, lora_alpha=8, target_modules=["q_proj", "k_proj"],
        base_model_name_or_path="sesame/csm-1b") | (settings or {}) | more))
    return directory


def test_a_peft_adapter_over_sesames_and_mlxs_rows(csm, bases, tmp_path):
    adapter = peft_adapter(tmp_path / "a")
    want, _ = speak(csm, bases / "hf", "--adapter", adapter)
    assert not torch.equal(want, speak(csm, bases / "hf")[0])
    for layout in "sesame", "mlx":
        assert torch.equal(speak(csm, bases / layout, "--adapter", adapter)[0], want)


@pytest.mark.parametrize("settings, n_told", [
    ({}, 0),
    ({"target_modules": ["k_proj"]}, 1),
    ({"target_modules": ["j_proj"]}, 2),
    ({"target_modules": ["roj"]}, 2),
    ({"target_modules": ["self_attn.q_proj", "layers.0.self_attn.k_proj"]}, 0),
    ({"target_modules": "all-linear"}, 0),
    ({"target_modules": r".*\.(q|k)_proj"}, 0),
    ({"target_modules": "q_proj"}, 2),
    ({"target_modules": None}, 0),
    ({"exclude_modules": ["q_proj"]}, 1),
    ({"exclude_modules": r"depth_decoder\..*"}, 1),
    ({"layers_to_transform": [0, 1]}, 0),
    ({"layers_to_transform": [0]}, 1),
    ({"layers_to_transform": 1}, 1),
    ({"layers_to_transform": [0], "layers_pattern": "layers"}, 1),
    ({"layers_to_transform": [0], "layers_pattern": ["h"]}, 2),
])
def test_pairs_of_modules_that_the_settings_do_not_name_are_told(csm, bases, tmp_path, settings,
                                                                 n_told):
    adapter = peft_adapter(tmp_path / "a", settings)
    _, said = speak(csm, bases / "hf", "--adapter", adapter)
    assert (f"{n_told} pairs are of modules" in said) == (n_told > 0), said
    assert said.count("are of modules") == (n_told > 0)


def test_two_adapters_add_up_and_a_scale_of_zero_is_the_base(csm, bases, tmp_path):
    adapter = peft_adapter(tmp_path / "a")
    base, _ = speak(csm, bases / "hf")
    assert torch.equal(speak(csm, bases / "hf", "--adapter", f"{adapter}:0")[0], base)
    both, _ = speak(csm, bases / "hf", "--adapter", f"{adapter}:0.25", "--adapter",
                    f"{adapter}:0.75")
    assert torch.equal(both, speak(csm, bases / "hf", "--adapter", adapter)[0])
    there_and_back, _ = speak(csm, bases / "hf", "--adapter", adapter, "--adapter", f"{adapter}:-1")
    assert torch.equal(there_and_back, base)


def test_an_adapter_in_the_models_directory_is_applied_and_said(csm, bases, tmp_path):
    model = shutil.copytree(bases / "hf", tmp_path / "m")
    want, _ = speak(csm, model, "--adapter", peft_adapter(tmp_path / "a"))
    peft_adapter(model)
    codes, said = speak(csm, model)
    assert torch.equal(codes, want) and "it lies in the model's own directory" in said
    codes, said = speak(csm, model, "--adapter", f"{tmp_path / 'a'}:0")
    assert torch.equal(codes, speak(csm, bases / "hf")[0]) and "is not used" in said
    assert any("adapter" in n["text"] for n in
               json.loads(csm("info", model, "--json").stdout)["notes"])


def test_an_adapter_alone_is_opened_over_the_base_it_names(csm, bases, tmp_path):
    adapter = peft_adapter(tmp_path / "a", base_model_name_or_path=str(bases / "hf"))
    want, _ = speak(csm, bases / "hf", "--adapter", adapter)
    assert torch.equal(speak(csm, adapter)[0], want)
    for name in "sesame/csm-1b", "", None:
        peft_adapter(tmp_path / "a", base_model_name_or_path=name)
        said = speak(csm, adapter, check=False)
        assert "--model-path BASE --adapter" in said and (name or "some base") in said
    mlx_adapter(bases / "mlx", tmp_path / "mlx", "mlp", 4, 1.0)
    assert "--model-path BASE --adapter" in speak(csm, tmp_path / "mlx", check=False)


# ---- csm merge ---------------------------------------------------------------------------

@pytest.mark.parametrize("layout", ["hf", "sesame", "mlx"])
def test_a_merged_model_speaks_as_its_base_with_the_adapter(csm, bases, tmp_path, layout):
    adapter = peft_adapter(tmp_path / "a")
    want, _ = speak(csm, bases / layout, "--adapter", f"{adapter}:0.5")
    csm("merge", bases / layout, tmp_path / "out", "--adapter", f"{adapter}:0.5")
    codes, said = speak(csm, tmp_path / "out")
    assert torch.equal(codes, want) and said == ""
    base, out = (load_file(d / "model.safetensors") for d in (bases / layout, tmp_path / "out"))
    assert base.keys() == out.keys()
    assert sum(not torch.equal(base[k], out[k]) for k in base) == 2


def test_merge_overwrites_nothing_and_leaves_nothing_behind(csm, bases, tmp_path):
    adapter = peft_adapter(tmp_path / "a")
    out = tmp_path / "out"
    for prepare, why in ((lambda: shutil.copytree(bases / "hf", out), "holds a model"),
                         (lambda: (out.mkdir(), (out / "x").touch()), "holds files"),
                         (out.touch, "expected a new directory")):
        prepare()
        before = sorted(out.glob("*"))
        done = csm("merge", bases / "hf", out, "--adapter", adapter, check=False)
        assert done.returncode == 2 and why in done.stderr
        assert sorted(out.glob("*")) == before
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    out.mkdir()
    csm("merge", bases / "hf", out, "--adapter", adapter)
    assert (out / "config.json").exists() and not list(tmp_path.glob("*.part"))
    done = csm("merge", bases / "hf", tmp_path / "no" / "out", "--adapter", adapter, check=False)
    assert done.returncode == 3 and not (tmp_path / "no").exists()
    done = csm("merge", bases / "hf", tmp_path / "o2", check=False)
    assert done.returncode == 2 and "no adapter" in done.stderr


# ---- what is refused -----------------------------------------------------------------------

Q = "base_model.model.backbone_model.layers.1.self_attn.q_proj."
ROWS = "base_model.model.embed_text_tokens.token_adapter.trainable_tokens_delta"


def rows(tokens):
    return dict(trainable_token_indices={"embed_text_tokens": tokens})


REFUSED = {
    "another method": (dict(settings=dict(peft_type="LOHA")), "peft_type: LOHA"),
    "a rank that config and file differ on": (dict(settings=dict(r=8)), "expected [8, 64] and [64, 8]"),
    "a tensor of no module": (dict(tensors={"base_model.model.lm_tail.lora_A.weight":
                                            torch.ones(4, 4)}), "lm_tail.lora_A.weight"),
    "a layer that is not there": (dict(tensors={Q.replace(".1.", ".9.") + "lora_A.weight":
                                                torch.ones(4, 64)}), "layers.9."),
    "half a pair": (dict(tensors={Q.replace("q_proj", "v_proj") + "lora_A.weight":
                                  torch.ones(4, 64)}), "expected a pair"),
    "rows that do not fit": (dict(tensors={Q + "lora_B.weight": torch.ones(63, 4)}),
                             "[63, 4], expected [4, 64] and [64, 4]"),
    "ranks of a pair that differ": (dict(tensors={Q + "lora_B.weight": torch.ones(64, 5)}),
                                    "[64, 5], expected [4, 64] and [64, 4]"),
    "NaN": (dict(tensors={Q + "lora_B.weight": torch.full((64, 4), torch.nan)}), "lora_B.weight: NaN"),
    "a pattern that is no number": (dict(settings=dict(alpha_pattern={"q_proj": "16"})),
                                    "alpha_pattern: q_proj: expected a number"),
    "integers": (dict(tensors={Q + "lora_B.weight": torch.ones(64, 4, dtype=torch.int32)}),
                 "dtype I32, expected F64, F32, F16 or BF16"),
    "a bias": (dict(tensors={Q + "lora_B.bias": torch.ones(64)}), "lora_B.bias"),
    "trained biases": (dict(settings=dict(bias="all"), tensors={Q + "bias": torch.ones(64)}), "q_proj.bias"),
    "a base that PiSSA changed": (dict(settings=dict(init_lora_weights="pissa_niter_4")),
                                  "pissa_niter_4"),
    "OLoRA": (dict(settings=dict(init_lora_weights="olora")), "olora"),
    "activated by tokens": (dict(settings=dict(alora_invocation_tokens=[1, 2])),
                            "alora_invocation_tokens"),
    "replicated layers": (dict(settings=dict(layer_replication=[[0, 2], [1, 2]])),
                          "layer_replication"),
    "a key of a later PEFT": (dict(settings=dict(use_thing=True)), "use_thing"),
    "DoRA without magnitudes": (dict(settings=dict(use_dora=True)), "lora_magnitude_vector"),
    "magnitudes without DoRA": (dict(tensors={Q + "lora_magnitude_vector": torch.ones(64)}),
                                "use_dora is false"),
    "rows of tokens that nothing names": (dict(tensors={ROWS: torch.ones(2, 64)}),
                                          "expected a row for each token"),
    "rows of fewer tokens": (dict(tensors={ROWS: torch.ones(2, 64)}, settings=rows([1, 2, 3])),
                             "expected a row for each token"),
    "a token beyond the table": (dict(tensors={ROWS: torch.ones(2, 64)}, settings=rows([1, 10**6])),
                                 "token 1 of base_model.model.embed_text_tokens."),
    "a token that is no number": (dict(tensors={ROWS: torch.ones(1, 64)}, settings=rows(["a"])),
                                  "an integer from 0 to"),
    "rows of NaN": (dict(tensors={ROWS: torch.full((1, 64), torch.nan)}, settings=rows([1])),
                    "trainable_tokens_delta: NaN"),
    "rows of what is no table": (dict(tensors={Q + "token_adapter.trainable_tokens_delta":
                                               torch.ones(1, 64)}), "nothing of this model"),
    "a table of another size": (dict(tensors={"base_model.model.embed_text_tokens.weight":
                                              torch.ones(600, 64)}), "shape [600, 64]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(csm, bases, tmp_path, case):
    change, why = REFUSED[case]
    said = speak(csm, bases / "hf", "--adapter", peft_adapter(tmp_path / "a", **change), check=False)
    assert why in said, said


def test_directories_that_hold_no_adapter(csm, bases, tmp_path):
    adapter = peft_adapter(tmp_path / "a")
    assert "no adapter" in speak(csm, bases / "hf", "--adapter", tmp_path / "none", check=False)
    for text in f"{adapter}:x", f"{adapter}:", ":1", f"{adapter}:nan":
        assert "--adapter: '" in speak(csm, bases / "hf", "--adapter", text, check=False)
    nothing = peft_adapter(tmp_path / "nothing")
    (nothing / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert "no tensor, expected" in speak(csm, bases / "hf", "--adapter", nothing, check=False)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "pickle" in speak(csm, bases / "hf", "--adapter", adapter, check=False)
    (adapter / "adapter_model.bin").unlink()
    assert "expected adapter_model.safetensors" in speak(csm, bases / "hf", "--adapter", adapter,
                                                         check=False)
    (adapter / "adapter_config.json").write_text("{}")
    assert "expected peft_type" in speak(csm, bases / "hf", "--adapter", adapter, check=False)
