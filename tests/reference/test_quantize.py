# SPDX-License-Identifier: Apache-2.0
"""csm quantize against MLX itself, and csm bench's contract."""

import json
import pathlib

import mlx.core as mx
import numpy as np
import pytest

import layouts

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
mx.set_default_device(mx.cpu)


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and bool(mx.all(a == b))


def weights(directory):
    return mx.load(str(directory / "model.safetensors"))


@pytest.mark.parametrize("bits, group", [(4, 64), (4, 32), (8, 64), (8, 32)])
def test_every_matrix_is_what_mx_quantize_gives(csm, tmp_path, bits, group):
    csm("quantize", GOLDEN / "csm-a", tmp_path / "out", "--bits", bits, "--group", group)
    got, source = weights(tmp_path / "out"), weights(GOLDEN / "csm-a")
    pairs = {
        "model.text_embeddings": "embed_text_tokens.weight",
        "model.audio_embeddings": "depth_decoder.model.embed_tokens.weight",
        "model.codebook0_head": "lm_head.weight",
        "model.projection": "depth_decoder.model.inputs_embeds_projector.weight",
        "model.backbone.layers.2.mlp.down_proj": "backbone_model.layers.2.mlp.down_proj.weight",
        "model.decoder.layers.1.self_attn.v_proj":
            "depth_decoder.model.layers.1.self_attn.v_proj.weight",
    }
    for name, hf in pairs.items():
        expected = mx.quantize(source[hf], group_size=group, bits=bits)
        for part, value in zip(("weight", "scales", "biases"), expected):
            assert same(got[f"{name}.{part}"], value), f"{name}.{part}"
    assert same(got["model.audio_head"], source["depth_decoder.codebooks_head.weight"])
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization"] == {"group_size": group, "bits": bits, "mode": "affine"}


@pytest.mark.parametrize("name, bits, group", [("csm-a-mlx-q4", 4, 64), ("csm-a-mlx-q8", 8, 64),
                                               ("csm-a-mlx-q4g32", 4, 32)])
def test_the_file_is_the_one_that_mlx_reads(csm, tmp_path, name, bits, group):
    """layouts.py makes the file whose outputs by csm-mlx are in tests/golden, with MLX."""
    csm("quantize", GOLDEN / "csm-a", tmp_path / "out", "--bits", bits, "--group", group)
    layouts.GOLDEN[name](GOLDEN / "csm-a", tmp_path / "mlx")
    got = weights(tmp_path / "out")
    file = next(p for p in (tmp_path / "mlx").glob("*.safetensors") if "mimi" not in p.name)
    expected = mx.load(str(file))
    prefix = "" if any(n.startswith("model.") for n in expected) else "model."
    language = {prefix + n: v for n, v in expected.items() if "codec" not in n}
    assert set(got) == set(language)
    for n, value in language.items():
        assert same(got[n], value), n


def test_the_source_may_be_of_any_layout(csm, tmp_path):
    csm("quantize", GOLDEN / "csm-a", tmp_path / "hf")
    expected = weights(tmp_path / "hf")
    for name in ("csm-a-sesame", "csm-a-mlx"):
        layouts.GOLDEN[name](GOLDEN / "csm-a", tmp_path / name)
        csm("quantize", tmp_path / name, tmp_path / f"{name}-q4")
        got = weights(tmp_path / f"{name}-q4")
        for n, value in expected.items():
            assert same(got[n], value), (name, n)


def test_what_cannot_be_quantized_is_refused(csm, tmp_path):
    csm("quantize", GOLDEN / "csm-a", tmp_path / "q4")
    again = csm("quantize", tmp_path / "q4", tmp_path / "out", check=False)
    assert again.returncode == 3 and "quantized already" in again.stderr
    assert not (tmp_path / "out").exists()
    assert csm("quantize", GOLDEN / "csm-a", tmp_path / "out", "--bits", 7,
               check=False).returncode == 2
    assert csm("quantize", tmp_path / "none", tmp_path / "out", check=False).returncode == 3


def test_bench_says_what_scripts_rely_on(csm):
    got = json.loads(csm("bench", "--model-path", GOLDEN / "csm-a", "--frames", 3, "--threads", 2,
                         "--json").stdout)
    keys = {"frame_ms", "floor_ms", "bytes_per_frame", "read_gb_s", "rtf", "first_audio_ms",
            "rss_mb", "threads", "dtype", "engine"}
    assert keys <= set(got)
    assert got["engine"] == "native" and got["threads"] == 2 and got["frame_ms"] > 0
    # bf16: backbone once, depth decoder K - 1 times, each head once
    elements = {name: value.size for name, value in weights(GOLDEN / "csm-a").items()}
    depth = sum(n for name, n in elements.items()
                if name.startswith("depth_decoder.model.") and "embed_tokens" not in name)
    backbone = sum(n for name, n in elements.items() if name.startswith("backbone_model."))
    heads = elements["lm_head.weight"] + elements["depth_decoder.codebooks_head.weight"]
    assert got["bytes_per_frame"] == 2 * (backbone + 7 * depth + heads)
    # read_gb_s is told with two digits after the point
    assert np.isclose(got["floor_ms"], got["bytes_per_frame"] / got["read_gb_s"] * 1e-6, rtol=0.01)
