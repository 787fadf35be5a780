# SPDX-License-Identifier: Apache-2.0
"""csm generate against stored runs of transformers, Sesame's code and csm-mlx:
tokens identical, sampled ones too; context, both ways to end, limits."""

import json
import wave

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from conftest import ROOT
from test_golden_layouts import layout_dir  # noqa: F401  (a fixture)

CSM_A = ROOT / "tests" / "golden" / "csm-a"
CASES = json.loads((CSM_A / "golden.json").read_text())["cases"]
HF = load_file(CSM_A / "golden.safetensors")
SESAME = load_file(ROOT / "tests" / "golden" / "csm-a-sesame" / "golden.safetensors")
MLX = load_file(ROOT / "tests" / "golden" / "csm-a-mlx" / "golden.safetensors")

GREEDY = ("--temperature", 0)
SAMPLED = ("--temperature", 0.9, "--topk", 50)


def prompt(name):
    """The arguments that give a case its prompt."""
    case = CASES[name]
    if name == "ctx":
        spoken = case["final"]
    elif name == "gencfg":
        spoken = CASES["nc"]
    else:
        spoken = case
    out = ["--text", spoken["text"], "--speaker", spoken["speaker"]]
    if name == "ctx" or case.get("kind") == "ctx":
        for i, turn in enumerate(CASES["ctx"]["segments"]):
            out += ["--context-audio", CSM_A / f"ctx{i}.wav", "--context-text", turn["text"],
                    "--context-speaker", turn["speaker"]]
    return out


@pytest.fixture
def generate(csm, tmp_path):
    """Run it; gives tokens, metadata and the number of samples."""

    def run(model, name, *args, frames=26):
        tokens, sound = tmp_path / "t.safetensors", tmp_path / "t.wav"
        csm("generate", "--model-path", model, *prompt(name), *args, "--save-tokens", tokens,
            "--output", sound, "--max-audio-length-ms", 80 * frames)
        with safe_open(tokens, "np") as file:
            metadata = file.metadata()
        with wave.open(str(sound)) as file:
            n_samples = file.getnframes()
        return load_file(tokens), metadata, n_samples

    return run


@pytest.mark.parametrize("name", ["nc", "ctx"])
@pytest.mark.parametrize("kind, args", [("greedy", GREEDY), ("sampled", (*SAMPLED, "--seed", 42))])
def test_tokens_of_transformers(generate, name, kind, args):
    got, metadata, n_samples = generate(CSM_A, name, *args)
    want = HF[f"{name}.f32.{kind}.tokens"]
    assert got["codes"].tolist() == want.tolist()
    # Two logits of some units over a temperature: float32 in another order moves them by 1e-4.
    assert np.allclose(got["margins"], HF[f"{name}.f32.{kind}.margin"], atol=1e-3)
    assert metadata["ended"] == "false"
    assert n_samples == 1920 * len(want)


def test_logits_are_those_before_temperature(generate, csm):
    got, _, _ = generate(CSM_A, "nc", *SAMPLED, "--seed", 42, "--save-logits")
    want = HF["nc.f32.sampled.logits"]
    assert (got["logits"][:len(want)] - want).abs().max() <= 2e-4 * want.abs().max()


def test_the_generation_config_is_the_default(generate):
    got, metadata, _ = generate(CSM_A, "gencfg", "--seed", 7, frames=8)
    assert got["codes"].tolist() == HF["gencfg.sampled.tokens"].tolist()
    assert (metadata["temperature"], metadata["topk"]) == ("0.9", "50")


@pytest.mark.parametrize("name", ["eos", "eos_ctx", "eos_sampled", "eos_quirk"])
def test_speech_ends_as_in_transformers(generate, name):
    case = CASES[name]
    args = GREEDY if case["seed"] is None else (*SAMPLED, "--seed", case["seed"])
    got, metadata, n_samples = generate(CSM_A, name, *args, frames=case["n"])
    want = HF[f"{name}.tokens"].tolist()
    if case["all_zero"]:
        want = want[:-1]  # the frame that ends speech is no sound
    assert got["codes"].tolist() == want
    assert metadata["ended"] == "true"
    assert n_samples == case["audio_samples"] == 1920 * len(want)


@pytest.mark.parametrize("name", ["nc", "ctx"])
@pytest.mark.parametrize("kind, args", [("greedy", GREEDY), ("sampled", (*SAMPLED, "--seed", 42))])
def test_tokens_of_sesame(generate, layout_dir, name, kind, args):  # noqa: F811
    got, metadata, _ = generate(layout_dir("csm-a-sesame"), name, *args)
    assert got["codes"].tolist() == SESAME[f"{name}.f32.{kind}.tokens"].tolist()
    assert metadata["sampler"] == "sesame"


@pytest.mark.parametrize("name", ["eos", "eos_ctx", "eos_sampled", "eos_quirk"])
def test_speech_ends_as_in_sesame(generate, layout_dir, name):  # noqa: F811
    case = CASES[name]
    args = GREEDY if case["seed"] is None else (*SAMPLED, "--seed", case["seed"])
    want = SESAME[f"{name}.tokens"].tolist()
    has_ended = not any(want[-1])
    got, metadata, _ = generate(layout_dir("csm-a-sesame"), name, *args,
                                frames=case["n"] if has_ended else len(want))
    assert got["codes"].tolist() == (want[:-1] if has_ended else want)
    assert metadata["ended"] == ("true" if has_ended else "false")


@pytest.mark.parametrize("name", ["nc", "ctx"])
def test_pure_draws_as_csm_mlx(generate, layout_dir, name):  # noqa: F811
    got, metadata, _ = generate(layout_dir("csm-a-mlx"), name, *SAMPLED, "--seed", 42,
                                "--strategy", "pure", "--mlx-version", "0.32.4")
    assert got["codes"].tolist() == MLX[f"{name}.f32.sampled_mlxrng42.tokens"].tolist()
    assert (metadata["sampler"], metadata["stream"]) == ("csm-mlx", "mlx")


def test_batch_rows_are_those_of_single_runs(csm, tmp_path):
    """transformers' batch of two gives each row what it gives alone; so do we."""
    tokens = tmp_path / "t.safetensors"
    csm("generate", "--model-path", CSM_A, "--text", CASES["batch2"]["conv"][1][1], "--speaker", 1,
        *GREEDY, "--save-tokens", tokens, "--output", "none", "--max-audio-length-ms", 80 * 26)
    want = HF["batch2.row1.single.tokens"].tolist()
    assert load_file(tokens)["codes"].tolist() == (want if any(want[-1]) else want[:-1])


def test_from_tokens_decodes_what_was_heard(csm, tmp_path):
    tokens, heard, again = tmp_path / "t.safetensors", tmp_path / "a.wav", tmp_path / "b.wav"
    csm("generate", "--model-path", CSM_A, *prompt("nc"), *GREEDY, "--save-tokens", tokens,
        "--output", heard, "--max-audio-length-ms", 2080)
    csm("generate", "--model-path", CSM_A, "--from-tokens", tokens, "--output", again)
    first, second = (np.frombuffer(p.read_bytes()[44:], np.int16).astype(int)
                     for p in (heard, again))
    assert len(first) == len(second) == 49920
    assert np.abs(first - second).max() <= 1
    want = np.clip(np.round(HF["nc.f32.greedy.audio"].numpy() * 32767), -32768, 32767)
    assert np.abs(first - want).max() <= 5  # 1e-4 of full scale, and the rounding
