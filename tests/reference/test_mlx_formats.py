# SPDX-License-Identifier: Apache-2.0
"""Every format that MLX quantizes to, against mx.quantize and mx.dequantize of the CPU."""

import json

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

import mlx_checkpoint
from test_mlx import CSM_A, beside, small_config
from test_quantize import same, weights

mx.set_default_device(mx.cpu)
AFFINE = [{"bits": b, "group_size": g, "mode": "affine"}
          for b in (1, 2, 3, 4, 5, 6, 8) for g in (32, 64, 128)]
SMALL_FLOATS = [{"bits": 4, "group_size": 32, "mode": "mxfp4"},
                {"bits": 8, "group_size": 32, "mode": "mxfp8"},
                {"bits": 4, "group_size": 16, "mode": "nvfp4"}]
ALL = AFFINE + SMALL_FLOATS
PARTS = ("weight", "scales", "biases")


def name_of(how):
    return "{mode}-{bits}-{group_size}".format(**how)


def config_of_128():
    """Every width a multiple of 128, so that every group fits every matrix."""
    config = small_config(intermediate_size=384)
    config["depth_decoder_config"] |= {"hidden_size": 128, "num_attention_heads": 8,
                                       "head_dim": 16, "intermediate_size": 256}
    return config


def fresh(seed, dtype=mx.bfloat16):
    return mlx_checkpoint.random(config_of_128(), seed, dtype)


def speak(csm, model, file, engine="native", strategy="pure"):
    csm("generate", "--model-path", model, "--engine", engine, "--strategy", strategy, "--dtype",
        "f32", "--temperature", 0, "--text", "Hello there.", "--max-audio-length-ms", 320,
        "--output", "none", "--save-tokens", file, "--save-logits")
    return load_file(file)


def spoken(csm, directory, tensors, config, quantization=None):
    directory.mkdir()
    mlx_checkpoint.write(directory, tensors, config, quantization)
    beside(directory)
    return speak(csm, directory, directory / "tokens")


def both(tensors, choose):
    """The quantized model, and the floats that mx.dequantize makes of it.

    choose  module -> {"bits", "group_size", "mode"}, or None: as it is"""
    packed, floats = {}, {}
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        how = choose(module) if tensor.ndim == 2 else None
        if how is None:
            packed[name] = floats[name] = tensor
            continue
        parts = mx.quantize(tensor, **how)
        packed |= {f"{module}.{part}": value for part, value in zip(PARTS, parts)}
        # affine in float32, as the definition is; the modes' own type is bfloat16
        if how["mode"] == "affine":
            parts = [parts[0], *(p.astype(mx.float32) for p in parts[1:])]
        floats[name] = mx.dequantize(*parts, **how).astype(mx.float32)
    return packed, floats


def compare(csm, tmp_path, tensors, config, choose, quantization):
    packed, floats = both(tensors, choose)
    got = spoken(csm, tmp_path / "packed", packed, config, quantization)
    expected = spoken(csm, tmp_path / "floats", floats, config)
    np.testing.assert_array_equal(got["codes"], expected["codes"])
    # docs/ENGINES.md: activations of affine products, and of those of mxfp4 and nvfp4, are off by
    # 1/65278 of their group's largest, which moves logits by up to 4e-4 of their largest; mxfp8
    # takes them as they are, and its sums run in another order than those of bfloat16
    np.testing.assert_allclose(got["logits"], expected["logits"], rtol=0,
                               atol=4e-4 * np.abs(expected["logits"]).max())


@pytest.mark.parametrize("how", AFFINE, ids=name_of)
def test_affine_speaks_as_its_floats_do(csm, tmp_path, how):
    compare(csm, tmp_path, fresh(how["bits"]), config_of_128(), lambda m: how, how)


@pytest.mark.parametrize("how", SMALL_FLOATS, ids=name_of)
def test_small_floats_speak_as_their_floats_do(csm, tmp_path, how):
    compare(csm, tmp_path, fresh(9), config_of_128(), lambda m: how, how)
    info = csm("info", "--model-path", tmp_path / "packed").stdout
    assert how["mode"] in info


@pytest.mark.parametrize("engine, strategy", [("mlx", "pure"), ("torch", "hybrid")])
@pytest.mark.parametrize("how", [h for h in ALL if (h["bits"], h["group_size"]) in
                                 [(1, 128), (3, 64), (6, 32), (4, 16)] or h["mode"] != "affine"],
                         ids=name_of)
def test_other_engines_take_them_too(csm, tmp_path, how, engine, strategy):
    packed, floats = both(fresh(5), lambda m: how)
    expected = spoken(csm, tmp_path / "floats", floats, config_of_128())
    spoken(csm, tmp_path / "packed", packed, config_of_128(), how)
    got = speak(csm, tmp_path / "packed", tmp_path / "got", engine, strategy)
    np.testing.assert_array_equal(got["codes"], expected["codes"])
    # float32 on both sides, sums in other orders
    np.testing.assert_allclose(got["logits"], expected["logits"], rtol=0,
                               atol=2e-4 * np.abs(expected["logits"]).max())


def test_every_module_may_have_its_own(csm, tmp_path):
    """q, k, v and gate, up of one layer too, with different groups, bits and modes."""
    tensors, chosen = fresh(3), {}

    def choose(module):
        if module not in chosen:
            chosen[module] = (ALL + [None])[len(chosen) * 5 % (len(ALL) + 1)]
        return chosen[module]

    both(tensors, choose)
    said = {"bits": 4, "group_size": 64} | {m: h or False for m, h in chosen.items()}
    compare(csm, tmp_path, tensors, config_of_128(), choose, said)


def test_one_layer_of_three_groups(csm, tmp_path):
    groups = {"q_proj": 32, "k_proj": 64, "v_proj": 128, "gate_proj": 128, "up_proj": 32}

    def choose(module):
        return {"bits": 4, "group_size": groups.get(module.split(".")[-1], 64), "mode": "affine"}

    tensors = fresh(4)
    said = {"bits": 4, "group_size": 64} | {n.removesuffix(".weight"):
                                            choose(n.removesuffix(".weight"))
                                            for n, t in tensors.items() if t.ndim == 2}
    compare(csm, tmp_path, tensors, config_of_128(), choose, said)


# ---- csm quantize --------------------------------------------------------------


def options(how):
    if how["mode"] != "affine":
        return ["--mode", how["mode"]]
    return ["--bits", how["bits"], "--group", how["group_size"]]


def assert_quantized(got, tensors, how):
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            continue
        module = name.removesuffix(".weight")
        parts = mx.quantize(tensor, **how)
        for part, value in zip(PARTS, parts):
            assert same(got[f"model.{module}.{part}"], value), f"{module}.{part}"
        assert len(parts) == 3 or f"model.{module}.biases" not in got


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """Models of bfloat16 and float16 whose groups of 16 have scales far apart, zeros among
    them, and values that lie between two codes."""
    made = {}
    for dtype in (mx.bfloat16, mx.float16):
        directory = tmp_path_factory.mktemp("wild")
        rng = np.random.default_rng(7)
        tensors = fresh(7, dtype)
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                rows, cols = tensor.shape
                scale = rng.integers(-12, 8, (rows, cols // 16, 1)).astype(np.float32)
                values = np.array(tensor.astype(mx.float32)).reshape(rows, cols // 16, 16)
                ties = rng.integers(-32, 33, values.shape) / 8
                values = np.where(rng.random(values.shape) < 0.5, values, ties) * 2 ** scale
                values[rng.random((rows, cols // 16)) < 0.05] = 0
                tensors[name] = mx.array(values.reshape(rows, cols)).astype(dtype)
        mlx_checkpoint.write(directory, tensors, config_of_128())
        beside(directory)
        made[dtype] = directory, tensors
    return made


def zeroed_groups(written, tensors, how):
    """How many groups mx.dequantize gives as zeros though they were not, and of how many."""
    n_zeroed = n_groups = 0
    for name in tensors:
        module = name.removesuffix(".weight")
        if f"model.{module}.scales" not in written:
            continue
        parts = [mx.array(written[f"model.{module}.{part}"]) for part in PARTS
                 if f"model.{module}.{part}" in written]
        groups = [np.array(w.astype(mx.float32)).reshape(-1, how["group_size"])
                  for w in (tensors[name], mx.dequantize(*parts, **how))]
        was, now = ((g != 0).any(axis=1) for g in groups)
        n_zeroed, n_groups = n_zeroed + int((was & ~now).sum()), n_groups + len(was)
    return n_zeroed, n_groups


@pytest.mark.parametrize("how", ALL, ids=name_of)
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16], ids=["bf16", "f16"])
def test_quantize_gives_mlx_its_bits(csm, tmp_path, wild, dtype, how):
    model, tensors = wild[dtype]
    said = csm("quantize", model, tmp_path / "out", *options(how)).stderr
    written = weights(tmp_path / "out")
    assert_quantized(written, tensors, how)
    # groups that were something and are nothing are counted
    n_zeroed, n_groups = zeroed_groups(written, tensors, how)
    line = (f"csm: quantize: {n_zeroed} of {n_groups} groups of weights are zeros now, too small "
            f"for {how['mode']}; mxfp4 and affine keep them\n")
    assert said == (line if n_zeroed > 0 else "")
    assert (n_zeroed > 0) == (how["mode"] == "nvfp4")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization"] == how
    # what was written opens
    assert csm("info", "--model-path", tmp_path / "out").returncode == 0


# ---- what does not fit ---------------------------------------------------------


def test_messages_name_mode_bits_and_group(csm, tmp_path):
    how = {"bits": 3, "group_size": 64, "mode": "affine"}
    packed, _ = both(fresh(1), lambda m: how)

    def line(said, changes=()):
        mlx_checkpoint.write(tmp_path, packed | dict(changes), config_of_128(), said)
        beside(tmp_path)
        done = csm("info", "--model-path", tmp_path, check=False)
        assert done.returncode == 3
        return done.stderr

    assert "affine, 3 bits in groups of 64, expected affine, 5 in groups of 64" in line(
        how | {"bits": 5})
    assert "affine, 3 bits in groups of 64, expected mxfp4, 4 in groups of 32" in line(
        {"bits": 4, "group_size": 32, "mode": "mxfp4"})
    scales = mx.zeros((1027, 8), mx.float32)
    assert "codebook0_head.scales and .biases: dtypes" in line(
        how, {"codebook0_head.scales": scales})
    words = mx.zeros((1027, 28), mx.uint32)  # 7 bits
    text = line(how, {"codebook0_head.weight": words})
    assert "shape [1027, 28], expected [1027, 12]" in text and "for 3 bits" in text


@pytest.mark.parametrize("args, said", [
    (["--bits", 7], "7 bits in groups of 64"), (["--group", 16], "4 bits in groups of 16"),
    (["--mode", "mxfp4", "--bits", 8], "mxfp4 of 8 bits"),
    (["--mode", "nvfp4", "--group", 32], "nvfp4 of 4 bits in groups of 32"),
    (["--mode", "mxfp6"], "mode mxfp6, expected affine, mxfp4, mxfp8 or nvfp4")])
def test_formats_that_mlx_does_not_have(csm, tmp_path, args, said):
    done = csm("quantize", CSM_A, tmp_path / "out", *args, check=False)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "out").exists()
