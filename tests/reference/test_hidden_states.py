# SPDX-License-Identifier: Apache-2.0
"""Hidden states of csm's own engines: a fault planted in the weights of one side is
named by csm analyze, whichever engine computes either side; without one, engines agree."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import layouts
from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"
SEED, FRAMES, HIDDEN_FRAMES = 3, 10, 4
ENGINES = {"native": "exact", "mlx": "exact", "torch": "hybrid"}
PAIRS = [("torch", "native"), ("torch", "mlx"), ("native", "mlx"), ("native", "native")]


@pytest.fixture(scope="module")
def captured(csm, tmp_path_factory):
    """The token file of a model on an engine, made once."""
    files = {}

    def run(model, engine):
        if (model, engine) not in files:
            out = files[model, engine] = tmp_path_factory.mktemp("run") / f"{engine}.safetensors"
            csm("generate", "--text", "Hello there.", "--model-path", model, "--engine", engine,
                "--strategy", ENGINES[engine], "--dtype", "f32", "--seed", SEED, "--output", "none",
                "--max-audio-length-ms", 80 * FRAMES, "--save-tokens", out, "--save-logits",
                "--save-hidden", HIDDEN_FRAMES)
        return files[model, engine]

    return run


@pytest.fixture(scope="module")
def analyzed(csm, captured):
    def run(model_a, engine_a, model_b, engine_b):
        done = csm("analyze", captured(model_a, engine_a), captured(model_b, engine_b), "--json",
                   check=False)
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def with_noise(tmp_path_factory):
    """csm-a with a fifth of noise in one matrix."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("noise") / "csm-a"
            made[name].mkdir()
            for file in "config.json", "generation_config.json", "tokenizer.json":
                (made[name] / file).write_bytes((CSM_A / file).read_bytes())
            tensors = load_file(CSM_A / "model.safetensors")
            noise = torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(1))
            tensors[name] = tensors[name] + 0.2 * tensors[name].std() * noise
            save_file(tensors, made[name] / "model.safetensors", {"format": "pt"})
        return made[name]

    return make


@pytest.mark.parametrize("engine", ENGINES)
def test_each_tensor_is_saved_in_full(captured, engine):
    """A row a position, and in the depth decoder a row a codebook and frame."""
    with safe_open(captured(CSM_A, engine), "pt") as file:
        n_prompt = int(file.metadata()["n_prompt"])
        shapes = {k: file.get_slice(k).get_shape() for k in file.keys()
                  if k.startswith("hidden.")}
    config = json.loads((CSM_A / "config.json").read_text())
    backbone, depth = config, config["depth_decoder_config"]
    n_positions = n_prompt + HIDDEN_FRAMES - 1
    n_rows = HIDDEN_FRAMES * config["num_codebooks"]
    expected = {"hidden.inputs_embeds": [n_positions, backbone["hidden_size"]],
                "hidden.backbone.final": [n_positions, backbone["hidden_size"]],
                "hidden.depth.proj": [n_rows, depth["hidden_size"]],
                "hidden.depth.final": [n_rows, depth["hidden_size"]]}
    for i in range(backbone["num_hidden_layers"]):
        expected[f"hidden.backbone.layer{i}"] = [n_positions, backbone["hidden_size"]]
    for i in range(depth["num_hidden_layers"]):
        expected[f"hidden.depth.layer{i}"] = [n_rows, depth["hidden_size"]]
    assert shapes == expected


@pytest.mark.parametrize("a, b", PAIRS)
def test_engines_agree(analyzed, a, b):
    report = analyzed(CSM_A, a, CSM_A, b)
    assert report["verdict"] in ("same", "rounding"), report["explanation"]
    assert report["first_layer"] is None


@pytest.mark.parametrize("tensor, layer", [
    ("backbone_model.layers.1.mlp.down_proj.weight", "backbone.layer1"),
    ("backbone_model.layers.2.self_attn.o_proj.weight", "backbone.layer2"),
    ("depth_decoder.model.layers.1.mlp.up_proj.weight", "depth.layer1")])
@pytest.mark.parametrize("a, b", PAIRS)
def test_a_perturbed_layer_is_named(analyzed, with_noise, a, b, tensor, layer):
    report = analyzed(CSM_A, a, with_noise(tensor), b)
    assert (report["verdict"], report["cause"]) == ("logits", "layer"), report["explanation"]
    assert report["first_layer"] == layer
    assert report["evidence"] == "codes+logits+hidden"


@pytest.mark.parametrize("a, b", PAIRS)
def test_rotation_of_pairs_instead_of_halves_is_named(analyzed, tmp_path_factory, a, b,
                                                      monkeypatch):
    """Rows as for halves in a layout that rotates pairs, as ports between the two have it."""
    right, wrong = (tmp_path_factory.mktemp("sesame") / name for name in ("right", "wrong"))
    layouts.sesame(CSM_A, right)
    monkeypatch.setattr(layouts, "to_pairs", lambda rows, n_heads: rows)
    layouts.sesame(CSM_A, wrong)
    monkeypatch.undo()
    layouts.kyutai(CSM_A, wrong)
    report = analyzed(right, a, wrong, b)
    assert (report["verdict"], report["cause"]) == ("logits", "rotation"), report["explanation"]
    assert report["first_layer"] == "backbone.layer0"


def test_hidden_states_want_a_token_file(csm):
    done = csm("generate", "--text", "Hi.", "--output", "none", "--save-hidden", 2, check=False)
    assert done.returncode == 2 and "--save-tokens" in done.stderr
