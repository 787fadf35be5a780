# SPDX-License-Identifier: Apache-2.0
"""Hybrid is transformers, bit for bit, and on Sesame's layout Sesame's code: every
logit and every code of 260 frames, in float32 and bfloat16.

One thread on either side: on models as small as these, more only wait for each
other. PyTorch's bits may depend on the number, so it is the same."""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch, save_file

import layouts
import sesame_model
from conftest import ROOT
from transformers_frames import (DTYPES, GOLDEN, Reference, endless_golden, random_model,
                                 samples_of, silence_the_end, text_ids)

TEXT = "Hello from Sesame. It's 2025, isn't it?"
CONTEXT = [("How are you doing today?", 0, GOLDEN / "ctx0.wav"),
           ("I'm doing great, thank you!", 1, GOLDEN / "ctx1.wav")]
FRAMES = 260
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def hybrid(csm, tmp_path_factory):
    """csm generate as hybrid: codes and logits of n frames."""

    def run(model, dtype, n, seed, *more, text=TEXT):
        out = tmp_path_factory.mktemp("hybrid") / "t.safetensors"
        csm("generate", "--text", text, "--output", "none", "--model-path", model, "--dtype", dtype,
            "--pytorch-tokens", "--seed", seed, "--max-audio-length-ms", 80 * n, "--quiet",
            "--threads", 1, "--temperature", 0.9, "--topk", 50, "--save-tokens", out, "--save-logits", *more)
        tensors = load_file(out)
        return tensors["codes"], tensors["logits"]

    return run


@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "cpu:-7", ""])
def test_an_unknown_device_is_a_usage_error(csm, device):
    done = csm("generate", "--text", "Hi.", "--output", "none", "--model-path", GOLDEN,
               "--engine", "torch", "--device", device, check=False)
    assert done.returncode == 2 and "expected cpu, gpu, cuda, cuda:N or mps" in done.stderr


@pytest.mark.parametrize("strategy", ["auto", "exact"])
def test_nothing_takes_the_place_of_an_engine_that_does_not_start(csm, build_dir, strategy):
    """Engine torch stands beside it, and would be slower and draw other tokens without a word."""
    if not (build_dir / "lib" / "csm_engine_cuda.so").exists():
        pytest.skip("engine cuda is not built here")  # no nvcc; CI has one
    no_card = {"LD_LIBRARY_PATH": str(build_dir / "tests" / "driver-none")}  # fake_cuda_driver.c
    done = csm("generate", "--text", "Hi.", "--output", "none", "--engine", "cuda", "--strategy", strategy,
               env=os.environ | no_card, check=False)
    assert done.returncode == 4 and done.stderr.startswith("csm: cuda: the NVIDIA driver sees no card")


@pytest.fixture(scope="session")
def endless(tmp_path_factory):
    return endless_golden(tmp_path_factory.mktemp("models") / "csm-a")


@pytest.fixture(scope="session")
def endless_voice(tmp_path_factory):
    """The embedded voice as transformers reads it, but for its end of speech."""
    target = tmp_path_factory.mktemp("models") / "voice"
    subprocess.run([sys.executable, ROOT / "voice" / "unpack.py", ROOT / "voice" / "model", target],
                   check=True)
    silence_the_end(target)
    return target


def context_of(turns):
    """As options of csm generate, and as Reference.generate has it."""
    options = []
    for text, speaker, path in turns:
        options += ["--context-audio", path, "--context-text", text, "--context-speaker", speaker]
    return options, [(text, speaker, samples_of(path)) for text, speaker, path in turns]


def assert_equal(ours, theirs):
    """Bit-equal; a difference is told by its place and size."""
    (codes, logits), (want, want_logits) = ours, theirs
    assert codes.shape == want.shape
    where = np.argwhere((logits != want_logits).any(-1))
    assert len(where) == 0, (f"{len(where)} rows of logits differ, the first is frame, codebook "
                             f"{where[0]}, by {np.abs(logits - want_logits)[tuple(where[0])].max()}")
    assert (codes == want).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_transformers_without_context(hybrid, endless, dtype):
    assert_equal(hybrid(endless, dtype, FRAMES, 42),
                 Reference(endless, dtype).generate(TEXT, FRAMES, seed=42))


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_transformers_with_context(hybrid, endless, dtype):
    more, context = context_of(CONTEXT)
    assert_equal(hybrid(endless, dtype, FRAMES, 43, *more),
                 Reference(endless, dtype).generate(TEXT, FRAMES, seed=43, context=context))


@pytest.mark.parametrize("turns", [[], CONTEXT], ids=["alone", "context"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_transformers_on_the_embedded_voice(hybrid, endless_voice, dtype, turns):
    more, context = context_of(turns)
    assert_equal(hybrid(endless_voice, dtype, FRAMES, 45, *more),
                 Reference(endless_voice, dtype).generate(TEXT, FRAMES, seed=45, context=context))


# layers, width, heads, kv heads, head_dim, hidden of backbone and depth decoder
SHAPES = {
    "grouped": (4, (2, 96, 6, 2, 16, 192), (2, 64, 4, 1, 32, 96), True),
    "odd": (3, (2, 130, 5, 5, 26, 101), (1, 70, 7, 7, 10, 51), False),
    "wide heads": (3, (1, 96, 2, 1, 320, 64), (1, 64, 2, 1, 288, 64), True),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_transformers_on_fresh_random_models(hybrid, tmp_path, shape, dtype):
    seed = int(os.environ.get("CSM_SEED", 0)) or int.from_bytes(os.urandom(3))
    print(f"reproduce: CSM_SEED={seed}")
    n_codebooks, backbone, depth, rope = SHAPES[shape]
    model = random_model(tmp_path / "m", seed, n_codebooks, backbone, depth, rope=rope)
    assert_equal(hybrid(model, dtype, FRAMES, seed),
                 Reference(model, dtype).generate(TEXT, FRAMES, seed=seed))


def sesame_frames(weights, config, ids, n, seed):
    inner = config["depth_decoder_config"]
    model = sesame_model.Model(weights,
                               (config["num_attention_heads"], inner["num_attention_heads"]),
                               (config["num_key_value_heads"], inner["num_key_value_heads"]))
    tokens = torch.zeros(len(ids), model.n_codebooks + 1, dtype=torch.long)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    tokens[:, -1], mask[:, -1] = torch.tensor(ids), True
    codes, logits = model.generate(tokens, mask, n, seed, 0.9, 50)
    return codes.numpy(), logits.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_sesame_on_its_layout(hybrid, endless, tmp_path, dtype):
    model = tmp_path / "sesame"
    layouts.sesame(endless, model)
    config = json.loads((endless / "config.json").read_text())
    weights = {k: v.to(DTYPES[dtype]) for k, v in load_torch(model / "model.safetensors").items()}
    assert_equal(hybrid(model, dtype, FRAMES, 44),
                 sesame_frames(weights, config, text_ids(endless, TEXT, 0), FRAMES, 44))


# ---- faults -----------------------------------------------------------------


def generate(csm, model, *more, env=None):
    return csm("generate", "--text", TEXT, "--output", "none", "--model-path", model, "--seed", 7,
               "--max-audio-length-ms", 800, "--quiet", *more, check=False,
               env={**os.environ, **(env or {})})


def assert_refused(done, code, *words):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("csm: "), done.stderr
    for word in words:
        assert word in done.stderr


def test_a_missing_library_is_told_in_one_line(csm, tmp_path):
    done = generate(csm, GOLDEN, "--strategy", "hybrid", env={"CSM_ENGINE_DIR": str(tmp_path)})
    assert_refused(done, 4, "torch", "is not installed", "pip install torch")


def test_an_engine_of_another_csm_is_told(csm, tmp_path):
    source = tmp_path / "old.c"
    source.write_text("const void *csm_engine_torch(int abi);\n"
                      "const void *csm_engine_torch(int abi) { return abi == 0 ? &abi : 0; }\n")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", source, "-o", tmp_path / "csm_engine_torch.so"],
                   check=True)
    done = generate(csm, GOLDEN, "--strategy", "hybrid", env={"CSM_ENGINE_DIR": str(tmp_path)})
    assert_refused(done, 4, "built for another csm", "build csm again")


def test_a_library_that_does_not_load_is_told(csm, tmp_path):
    (tmp_path / "csm_engine_torch.so").write_bytes(b"no library")
    done = generate(csm, GOLDEN, "--strategy", "hybrid", env={"CSM_ENGINE_DIR": str(tmp_path)})
    assert_refused(done, 4, "does not load", "pip install torch")


def planted(target, name, index, value, dtype=None):
    """csm-a with one number of one tensor replaced."""
    shutil.copytree(GOLDEN, target)
    tensors = load_torch(target / "model.safetensors")
    if dtype is not None:
        tensors[name] = tensors[name].to(dtype)
    tensors[name][index] = value
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


@pytest.mark.parametrize("strategy", ["hybrid", "exact", "auto"])
def test_a_nan_in_a_weight_is_told_by_its_tensor(csm, tmp_path, strategy):
    name = "depth_decoder.codebooks_head.weight"
    model = planted(tmp_path / "m", name, (2, 5, 9), float("nan"))
    done = generate(csm, model, "--strategy", strategy)
    assert_refused(done, 3, f"{name}: element ")
    assert "hybrid" not in done.stderr  # it would read the same weights


def test_hybrid_takes_over_where_float16_overflows(csm, tmp_path):
    model = planted(tmp_path / "m", "backbone_model.layers.0.mlp.up_proj.weight", (3, 4), 1e6)
    out = tmp_path / "auto.safetensors"
    done = generate(csm, model, "--engine", "native", "--dtype", "f16", "--save-tokens", out)
    assert done.returncode == 0, done.stderr
    assert "hybrid took its place at frame 0" in done.stderr
    with safe_open(out, "np") as f:
        assert f.metadata()["strategy"] == "hybrid" and f.metadata()["engine"] == "torch"
    wanted = tmp_path / "hybrid.safetensors"
    generate(csm, model, "--strategy", "hybrid", "--save-tokens", wanted)
    assert (load_file(out)["codes"] == load_file(wanted)["codes"]).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_are_what_they_stand_for(hybrid, endless, tmp_path, bits):
    """MLX's quantization is undone: the tokens are Sesame's for the numbers that
    mx.dequantize gives."""
    layouts.mlx(endless, tmp_path / "q", bits=bits)
    layouts.sesame(endless, tmp_path / "float")
    weights = load_torch(tmp_path / "float" / "model.safetensors")
    for name, value in weights.items():
        rows = mx.array(value.float().numpy()).astype(mx.bfloat16)
        if rows.ndim == 2:
            parts = [x if x.dtype == mx.uint32 else x.astype(mx.float32)
                     for x in mx.quantize(rows, group_size=64, bits=bits)]
            rows = mx.dequantize(*parts, group_size=64, bits=bits)
        weights[name] = torch.from_numpy(np.array(rows.astype(mx.float32))).clone()
    config = json.loads((endless / "config.json").read_text())
    assert_equal(hybrid(tmp_path / "q", "f32", 30, 5),
                 sesame_frames(weights, config, text_ids(endless, TEXT, 0), 30, 5))


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD")
def test_a_libtorch_of_another_version_is_told(csm, tmp_path):
    source, library = tmp_path / "version.c", tmp_path / "version.so"
    source.write_text("unsigned long aoti_torch_abi_version(void);\n"
                      "unsigned long aoti_torch_abi_version(void) { return 0x0201ul << 48; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    done = generate(csm, GOLDEN, "--strategy", "hybrid", env={"LD_PRELOAD": str(library)})
    assert_refused(done, 4, "torch", "build csm again")


def with_text_table(target, rows):
    """csm-a with so many rows of text embeddings: a sparse file that ends in zeros."""
    shutil.copytree(GOLDEN, target)
    config = json.loads((GOLDEN / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"text_vocab_size": rows}))
    name, tensors = "embed_text_tokens.weight", load_torch(GOLDEN / "model.safetensors")
    width = tensors.pop(name).shape[1]
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    whole = (target / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, end = json.loads(whole[8:8 + length]), len(whole) - 8 - length
    header[name] = {"dtype": "F32", "shape": [rows, width],
                    "data_offsets": [end, end + 4 * rows * width]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(target / "model.safetensors", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + whole[8 + length:])
        f.truncate(8 + len(text) + end + 4 * rows * width)
    return target


def peak_bytes(args):
    """The most address space that a run had."""
    peak, process = 0, subprocess.Popen(args, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmPeak"):
                peak = max(peak, 1024 * int(line.split()[1]))
    assert process.returncode == 0
    return peak


def within(n_bytes):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc, RLIMIT_AS")
def test_out_of_memory_is_told(csm, build_dir, tmp_path):
    """Room for what a small model takes, for the mapped file of 1 GB, and less than half of
    what its table takes in bfloat16."""
    base = [build_dir / "bin" / "csm", "generate", "--text", "Hi.", "--output", "none", "--quiet",
            "--max-audio-length-ms", "80", "--pytorch-tokens", "--dtype", "bf16", "--threads", "1"]
    small = peak_bytes([*base, "--model-path", with_text_table(tmp_path / "small", 532)])
    done = csm(*base[1:], "--model-path", with_text_table(tmp_path / "large", 2_000_000),
               check=False, preexec_fn=within(small + (1 << 30) + (128 << 20)))
    assert_refused(done, 4, "torch: out of memory")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_memory_grows_with_the_positions_that_are_used(csm, tmp_path):
    """Four million positions would take 1.5 GB and more; a sentence of them speaks in 1 GB."""
    shutil.copytree(GOLDEN, tmp_path / "m")
    config = json.loads((GOLDEN / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": 4_000_000}))
    csm("generate", "--text", "Hi.", "--output", "none", "--engine", "native", "--strategy",
        "exact", "--model-path", tmp_path / "m", preexec_fn=within(1 << 30))
