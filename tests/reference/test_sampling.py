# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise draw what PyTorch draws on the CPU, bit for bit; any PyTorch that is
installed.

CSM_SAMPLING_DRAWS: how many draws for each sampler and dtype."""

import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from sampling_reference import (CUT, DTYPES, PLAIN, WARPED, Case, assert_none_differs, csm_sample, rows,
                                scaled, sesame_probs, torch_dtype, torch_tokens,
                                transformers_probs, warpers)

torch.set_num_threads(1)
# Builds with MKL took their exponentials from it up to 2.6.
HAS_MKL_NOISE = torch.backends.mkl.is_available() and torch.__version__ < (2, 7)
STREAM = "torch-cpu-mkl" if HAS_MKL_NOISE else "torch-cpu"
DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 100_000))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["transformers", "sesame"])
def test_the_tokens_of_torch(csm, tmp_path, sampler, dtype):
    assert_none_differs(
        f"torch {torch.__version__}, {sampler}, {dtype}", scaled(PLAIN, DRAWS),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, sampler, "--stream",
                                   STREAM)["tokens"],
        lambda case, x: torch_tokens(x, case, dtype, sampler))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tokens_of_transformers_with_top_p_and_min_p(csm, tmp_path, dtype):
    assert_none_differs(
        f"torch {torch.__version__}, transformers with top-p, min-p, {dtype}",
        scaled(WARPED, DRAWS // 10),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, "transformers", "--stream",
                                   STREAM)["tokens"],
        lambda case, x: torch_tokens(x, case, dtype, "transformers"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tokens_of_transformers_with_cutoffs(csm, tmp_path, dtype):
    """top-h, typical-p, epsilon and eta. The cut of a row is the same at each round, so some cases
    have many rows."""
    cases = scaled(CUT, DRAWS // 10) + [
        Case(2051, rows=1000, **{cutoff: 0.5}) for cutoff in ("top_h", "typical_p", "eta")]
    assert_none_differs(
        f"torch {torch.__version__}, transformers with cutoffs, {dtype}", cases,
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, "transformers", "--stream",
                                   STREAM)["tokens"],
        lambda case, x: torch_tokens(x, case, dtype, "transformers"))


@pytest.mark.parametrize("flags", [
    ("--typical-p", 0.5, "--sampler", "sesame"), ("--eta-cutoff", 0.1, "--stream", "torch-cuda"),
    ("--top-h", 0.5, "--stream", "torch-inductor"), ("--epsilon-cutoff", 2), ("--top-h", -0.1),
    ("--typical-p", 0.5, "--sampler", "csm-mlx")])
def test_cutoffs_that_nobody_has_are_refused(csm, tmp_path, flags):
    save_file({"x": rows(16, 2, 1)}, tmp_path / "x.safetensors")
    done = csm("sample", tmp_path / "x.safetensors", *flags, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("csm: " + flags[0][2:].replace("-c", " c"))


def test_top_p_cuts_equal_scores_where_the_sort_goes_too_deep(csm, tmp_path):
    """Rows whose every median of three is nearly the lowest: std::sort turns to its heap."""
    n = 1025
    odd = np.arange(1, n + 1) % 2 == 1
    i = np.arange(1, n + 1)
    row = np.concatenate([np.where(odd, i, n + i - 1), 2 * i]) // 8 / 100.0
    assert_none_differs(
        f"torch {torch.__version__}, top-p over a row that sorts badly",
        [Case(2 * n, rows=1, rounds=500, k=0, t=1.0, top_p=p) for p in (0.3, 0.6, 0.9)],
        lambda case, x: csm_sample(csm, tmp_path, case, x, "f32", "transformers", "--stream",
                                   STREAM)["tokens"],
        lambda case, x: torch_tokens(x, case, "f32", "transformers"),
        lambda case: row[None].astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["transformers", "sesame"])
def test_the_probabilities_of_torch(csm, tmp_path, sampler, dtype):
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("the last bits are those of PyTorch's AVX-512 kernels")
    for case in PLAIN:
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler, probs=True)["probs"]
        t = torch.from_numpy(x).to(torch_dtype(dtype))
        want = (sesame_probs(t, case) if sampler == "sesame"
                else transformers_probs(t, case, warpers(case)))
        assert np.array_equal(got, want.float().numpy(), equal_nan=True), case


def test_the_margin_is_the_lead_in_the_race(csm, tmp_path):
    case = Case(2051, rows=32)
    x = rows(case.vocab, case.rows, 1)
    got = csm_sample(csm, tmp_path, case, x, "f32", "transformers", "--stream", STREAM)
    torch.manual_seed(case.seed)
    for row in range(case.rows):
        p = transformers_probs(torch.from_numpy(x[row:row + 1]), case, warpers(case))[0]
        ratios = (p / torch.empty_like(p).exponential_(1)).sort(descending=True).values.double()
        # float32 of a difference of two logarithms
        assert got["margins"][0, row] == pytest.approx(float((ratios[0] / ratios[1]).log()),
                                                       rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_of_torch(csm, tmp_path, dtype):
    for shape in ((1, 1), (1, 7), (3, 2051), (2, 100003)):
        out = tmp_path / "noise.safetensors"
        csm("noise", "--stream", STREAM, "--dtype", dtype, "--seed", 2**32 + 5, "--calls", 3,
            "--shape", f"{shape[0]},{shape[1]}", "--output", out)
        torch.manual_seed(2**32 + 5)
        want = torch.stack([torch.empty(shape, dtype=torch_dtype(dtype)).exponential_(1)
                            for _ in range(3)])
        got = torch.from_numpy(load_file(out)["noise"]).to(want.dtype)
        if HAS_MKL_NOISE:  # its logarithm is not public: docs/EXACTNESS.md
            bits = torch.int32 if dtype == "f32" else torch.int16
            assert (got.view(bits) - want.view(bits)).abs().max() <= 1
        else:
            assert torch.equal(got, want)


@pytest.mark.parametrize("args, expected", [
    (("--sampler", "csm-mlx", "--stream", "torch-cpu"), "expected stream mlx"),
    (("--sampler", "sesame", "--stream", "mlx"), "expected torch-cpu"),
    (("--sampler", "sesame", "--top-p", "0.9"), "top-p with sampler sesame"),
    (("--temperature", "0"), "temperature"),
    (("--temperature", "nan"), "--temperature"),
    (("--topk", "-1"), "--topk"),
    (("--dtype", "f64"), "--dtype"),
    (("--mlx-version", "0.32.4"), "MLX version"),
    (("--sampler", "csm-mlx", "--mlx-version", "new"), "MLX version"),
    (("--rounds", "0"), "--rounds"),
    (("--save-probs",), "--output"),
])
def test_what_makes_no_sense_is_a_usage_error(csm, tmp_path, args, expected):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros((2, 4), np.float32)}, tmp_path / "x.safetensors")
    done = csm("sample", tmp_path / "x.safetensors", *args, check=False)
    assert done.returncode == 2 and expected in done.stderr and done.stdout == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_logits_are_refused_by_row_and_index(csm, tmp_path, value):
    from safetensors.numpy import save_file

    x = np.zeros((3, 5), np.float32)
    x[1, 3] = value
    save_file({"x": x}, tmp_path / "x.safetensors")
    done = csm("sample", tmp_path / "x.safetensors", "--output", tmp_path / "o", check=False)
    assert done.returncode == 3 and not (tmp_path / "o").exists()
    assert done.stderr.startswith("csm: ") and "row 1, index 3" in done.stderr
