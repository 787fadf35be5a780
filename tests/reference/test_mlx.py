# SPDX-License-Identifier: Apache-2.0
"""The mlx engine against csm-mlx's own calls (csm_mlx_calls.py), live and as kept
in tests/golden, and against the goldens of transformers and PyTorch's Mimi."""

import json
import resource
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

import csm_mlx_calls
import layouts
import mlx_checkpoint
from conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"
CSM_A = GOLDEN / "csm-a"
FRAMES = 26
TEXT = "Hello from Sesame. It's 2025, isn't it?"
CONTEXT = ["--context-audio", CSM_A / "ctx0.wav", "--context-text", "How are you doing today?",
           "--context-speaker", 0,
           "--context-audio", CSM_A / "ctx1.wav", "--context-text", "I'm doing great, thank you!",
           "--context-speaker", 1, "--text", "That's wonderful to hear!"]
CASES = {"nc": ["--text", TEXT], "ctx": CONTEXT}
Q4, Q8 = {"bits": 4, "group_size": 64}, {"bits": 8, "group_size": 64}


@pytest.fixture(scope="module")
def layout_dir(tmp_path_factory):
    """The directory of csm-a in one layout, made once."""
    root = tmp_path_factory.mktemp("layouts")

    def make(name):
        if not (root / name).exists():
            layouts.GOLDEN[name](CSM_A, root / name)
        return root / name

    return make


def beside(directory):
    """csm-a's tokenizer and codec into a directory that has a language model."""
    layouts.copy_text(CSM_A, directory)
    layouts.kyutai(CSM_A, directory)


@pytest.fixture
def generate(csm, tmp_path):
    """codes and logits, as saved, of csm generate on a model with these options."""
    def run(model, *args, frames=FRAMES, strategy="pure", engine="mlx"):
        file = tmp_path / "tokens.safetensors"
        csm("generate", "--model-path", model, "--engine", engine, "--strategy", strategy,
            "--max-audio-length-ms", 80 * frames, "--output", "none", "--save-tokens", file,
            "--save-logits", *args)
        return load_file(file)
    return run


def sound_frames(tokens):
    """Without the frame of zeros that ends speech."""
    return tokens if tokens[-1].any() else tokens[:-1]


# ---- csm-mlx ----------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["csm-a-mlx", "csm-a-mlx-q4", "csm-a-mlx-q8", "csm-a-mlx-q4g32"])
def test_tokens_are_those_that_csm_mlx_drew(generate, layout_dir, name, case):
    golden = load_file(GOLDEN / name / "golden.safetensors")
    act = "f32" if name == "csm-a-mlx" else "f32act"
    for mode, options in [("greedy", ["--temperature", 0]), ("sampled_mlxrng42", ["--seed", 42])]:
        got = generate(layout_dir(name), *CASES[case], "--dtype", "f32", *options)
        tokens = golden[f"{case}.{act}.{mode}.tokens"]
        np.testing.assert_array_equal(got["codes"], sound_frames(tokens))
        if mode == "greedy":
            # bits of one machine's compiler and BLAS; elsewhere float32 in another order, 1e-4 of
            # logits of some units
            logits = golden[f"{case}.{act}.{mode}.logits"]
            np.testing.assert_allclose(got["logits"][: len(logits)], logits, atol=1e-3)


def small_config(**changes):
    rope = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
    shared = {"rms_norm_eps": 1e-5, "rope_theta": 500000.0, "rope_scaling": rope}
    csm_a = json.loads((CSM_A / "config.json").read_text())
    depth = csm_a["depth_decoder_config"] | shared | {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 192, "num_codebooks": 8,
        "vocab_size": 1027, "backbone_hidden_size": 128}
    for part in (csm_a, depth):
        part.pop("rope_parameters", None)
    return csm_a | shared | {
        "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 320,
        "depth_decoder_config": depth} | changes


@pytest.mark.parametrize("dtype, how, seed", [
    (mx.float32, None, 1), (mx.float32, None, 2**40 + 7), (mx.bfloat16, None, 2),
    (mx.float16, None, 3), (mx.bfloat16, Q4, 4), (mx.float32, Q8, 5)])
def test_a_fresh_model_gives_csm_mlx_its_bits(generate, tmp_path, dtype, how, seed):
    """Logits bit for bit, tokens identical, weights and arithmetic as stored."""
    frames = 40
    config = small_config()
    tensors = mlx_checkpoint.random(config, seed % 1000, dtype)
    if how:
        tensors = mlx_checkpoint.quantized(tensors, **how)
    mlx_checkpoint.write(tmp_path, tensors, config, how)
    beside(tmp_path)
    got = generate(tmp_path, "--text", TEXT, "--seed", seed, "--temperature", 0.8, "--topk", 40,
                   frames=frames)
    ids = load_file(CSM_A / "golden.safetensors")["nc.frames"][:, -1].tolist()
    tokens, logits = csm_mlx_calls.generate(csm_mlx_calls.load(tensors, config, how), ids, frames,
                                            seed, 0.8, 40)
    np.testing.assert_array_equal(got["codes"], np.array(tokens))
    np.testing.assert_array_equal(got["logits"], np.array(logits))


# ---- exact -------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_exact_draws_what_transformers_drew(generate, case):
    golden = load_file(CSM_A / "golden.safetensors")
    for mode, options in [("greedy", ["--temperature", 0]), ("sampled", ["--seed", 42])]:
        got = generate(CSM_A, *CASES[case], "--dtype", "f32", "--temperature", 0.9, "--topk", 50,
                       *options, strategy="exact")
        np.testing.assert_array_equal(got["codes"], golden[f"{case}.f32.{mode}.tokens"][:FRAMES])
        assert (got["margins"] > 0).all()


@pytest.mark.parametrize("sampler, dtype", [("transformers", "f32"), ("sesame", "f32"),
                                            ("sesame", "bf16"), ("sesame", "f16")])
@pytest.mark.parametrize("stream", ["torch-cpu", "torch-cuda"])
def test_exact_is_the_sampler_on_the_frames_logits(csm, generate, tmp_path, sampler, dtype, stream):
    """Whatever the engine guessed: each token is what `csm sample` draws of the logits."""
    options = ["--sampler", sampler, "--stream", stream, "--seed", 3, "--temperature", 0.8,
               "--topk", 60]
    got = generate(CSM_A, "--text", TEXT, "--dtype", dtype, *options, frames=40, strategy="exact")
    logits = got["logits"]
    save_file({"logits": logits.reshape(-1, logits.shape[-1])}, tmp_path / "logits.safetensors")
    drawn = csm("sample", tmp_path / "logits.safetensors", "--tensor", "logits", "--dtype", dtype,
                *options).stdout.split()
    np.testing.assert_array_equal(got["codes"].ravel(), np.array(drawn, int))


# ---- other layouts, codec ------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_sesames_layout_gives_its_greedy_tokens(generate, layout_dir, case):
    golden = load_file(GOLDEN / "csm-a-sesame" / "golden.safetensors")
    got = generate(layout_dir("csm-a-sesame"), *CASES[case], "--dtype", "f32", "--temperature", 0,
                   strategy="exact")
    np.testing.assert_array_equal(got["codes"], golden[f"{case}.f32.greedy.tokens"])


def test_codec_is_pytorchs(csm, tmp_path):
    golden = load_file(CSM_A / "golden.safetensors")
    wave = golden["mimi.enc_part.wave_i16"].astype(np.float32) / 32768
    soundfile.write(tmp_path / "in.wav", wave, 24000, subtype="FLOAT")
    out = tmp_path / "codes.safetensors"
    csm("codec", "encode", tmp_path / "in.wav", out, "--model-path", CSM_A, "--engine", "mlx")
    np.testing.assert_array_equal(load_file(out)["codes"], golden["mimi.enc_part.codes"].T)

    save_file({"codes": np.ascontiguousarray(golden["mimi.dec_rand.codes"].T)}, out)
    csm("codec", "decode", out, tmp_path / "out.f32", "--format", "f32le", "--model-path", CSM_A,
        "--engine", "mlx")
    # float32 in another order, of sound below 1
    np.testing.assert_allclose(np.fromfile(tmp_path / "out.f32", "<f4"),
                               golden["mimi.dec_rand.wave"].ravel(), atol=2e-5)


# ---- faults --------------------------------------------------------------------


def failed(csm, *args, **kwargs):
    done = csm("generate", "--text", "Hi.", "--output", "none", *args, check=False, **kwargs)
    lines = done.stderr.strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def test_a_missing_library_says_how_to_install_it(csm, tmp_path, monkeypatch):
    monkeypatch.setenv("CSM_ENGINE_DIR", str(tmp_path))
    code, line = failed(csm, "--model-path", CSM_A, "--engine", "mlx")
    assert code == 4 and line.startswith("csm: engine mlx is not installed: pip install mlx")


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD")
def test_a_library_of_another_version_is_refused(csm, tmp_path, monkeypatch):
    source, library = tmp_path / "version.c", tmp_path / "version.so"
    source.write_text('const char *_ZN3mlx4core7versionEv(void); /* mlx::core::version() */\n'
                      'const char *_ZN3mlx4core7versionEv(void) { return "0.31.9"; }\n')
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    code, line = failed(csm, "--model-path", CSM_A, "--engine", "mlx")
    assert code == 4
    assert line == (f"csm: engine mlx: libmlx is version 0.31.9, built with {mx.__version__}: "
                    "build csm again with it")


@pytest.mark.parametrize("strategy", ["pure", "exact"])
def test_nan_in_a_weight_is_told_by_its_tensor(csm, tmp_path, strategy):
    config = small_config()
    tensors = mlx_checkpoint.random(config, 5)
    head = np.array(tensors["audio_head"])
    head[2, 0, 7] = np.nan
    tensors["audio_head"] = mx.array(head)
    mlx_checkpoint.write(tmp_path, tensors, config)
    beside(tmp_path)
    code, line = failed(csm, "--model-path", tmp_path, "--engine", "mlx", "--strategy", strategy)
    assert code == 3 and "audio_head: element " in line


def test_out_of_memory_is_told(csm, tmp_path):
    """Room for libraries and the mapped file of 512 MB, not for float32 of it, 1 GB."""
    n = 2_000_000
    config = small_config(text_vocab_size=n)
    tensors = mlx_checkpoint.random(config | {"text_vocab_size": 600}, 5, mx.bfloat16)
    tensors["text_embeddings.weight"] = mx.zeros((n, config["hidden_size"]), mx.bfloat16)
    mlx_checkpoint.write(tmp_path, tensors, config)
    beside(tmp_path)
    room = 1400 << 20
    code, line = failed(csm, "--model-path", tmp_path, "--engine", "mlx", "--dtype", "f32",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)))
    assert code == 4 and line == "csm: mlx: out of memory"
