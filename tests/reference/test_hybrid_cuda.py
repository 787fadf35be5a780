# SPDX-License-Identifier: Apache-2.0
"""Hybrid on CUDA computes the logits of transformers on CUDA but for rounding, and draws
from them what PyTorch draws there.

Needs a GPU that holds 270,336 threads (H100, H200), whose stream `csm sample` knows, and
engine torch built for the torch package that sees it."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import layouts
from transformers_frames import Reference, endless_golden

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU with CUDA")
TEXT = "Hello from Sesame. It's 2025, isn't it?"
FRAMES, SEED = 60, 42
# The same float32 products, added in other orders: sums of up to 1,000 terms below 30 in
# size, a dozen layers one after the other. What parts two engines on the CPU is below 1e-4.
TOLERANCE = 5e-4


def root_mean_square(x):
    return float(np.sqrt(np.square(x.astype(np.float64)).mean()))


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    return endless_golden(tmp_path_factory.mktemp("models") / "csm-a")


@pytest.fixture(scope="module")
def theirs(endless):
    """Codes and logits of transformers on the GPU, by dtype; 60 frames of one seed."""
    return {dtype: Reference(endless, dtype, "cuda").generate(TEXT, FRAMES, seed=SEED)
            for dtype in ("f32", "bf16")}


@pytest.fixture
def ours(csm, tmp_path):
    """csm generate on the GPU, given the codes of another run where `forced` has them."""

    def run(model, dtype, forced=None):
        more = []
        if forced is not None:
            save_file({"codes": forced.astype(np.int32)}, tmp_path / "forced.safetensors",
                      {"seed": str(SEED)})
            more = ["--forced-tokens", tmp_path / "forced.safetensors"]
        csm("generate", "--text", TEXT, "--output", "none", "--model-path", model, "--dtype",
            dtype, "--pytorch-tokens", "--device", "cuda", "--seed", SEED,
            "--max-audio-length-ms", 80 * FRAMES, "--quiet", "--temperature", 0.9, "--topk", 50,
            "--save-tokens", tmp_path / "t.safetensors", "--save-logits", *more)
        return load_file(tmp_path / "t.safetensors")

    return run


def test_float32_logits_are_those_of_transformers(ours, endless, theirs):
    codes, logits = theirs["f32"]
    got = ours(endless, "f32", codes)
    off = np.abs(got["logits"] - logits).max()
    assert off < TOLERANCE
    assert (got["codes"] != codes).mean() < 0.001, "draws that so little moves are rare"


def test_bfloat16_is_no_further_from_float32_than_transformers(ours, endless, theirs):
    """After the same codes, root mean square over all logits; that of transformers has more
    steps that round."""
    codes, logits = theirs["bf16"]
    exact = ours(endless, "f32", codes)["logits"]
    off = root_mean_square(ours(endless, "bf16", codes)["logits"] - exact)
    assert off <= 1.25 * root_mean_square(logits - exact)


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_every_draw_is_pytorchs_of_its_logits(csm, ours, endless, tmp_path, dtype):
    got = ours(endless, dtype)
    n, k, vocab = got["logits"].shape
    assert n == FRAMES
    save_file({"x": got["logits"].reshape(n * k, vocab)}, tmp_path / "x.safetensors")
    drawn = csm("sample", tmp_path / "x.safetensors", "--tensor", "x", "--sampler",
                "transformers", "--dtype", "f32", "--stream", "torch-cuda", "--seed", SEED,
                "--topk", 50, "--temperature", 0.9)
    assert (np.array(drawn.stdout.split(), int) == got["codes"].ravel()).all()


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_sesames_layout_computes_the_same(csm, ours, endless, tmp_path, dtype):
    """Pairs of neighbours, not of halves, over permuted weights: the same numbers."""
    layouts.sesame(endless, tmp_path / "sesame")
    codes = ours(endless, "f32")["codes"]
    halves = ours(endless, dtype, codes)["logits"]
    pairs = ours(tmp_path / "sesame", dtype, codes)["logits"]
    if dtype == "f32":
        assert np.abs(pairs - halves).max() < TOLERANCE
    else:
        exact = ours(endless, "f32", codes)["logits"]
        off = root_mean_square(pairs - exact), root_mean_square(halves - exact)
        assert max(off) <= 1.25 * min(off)
