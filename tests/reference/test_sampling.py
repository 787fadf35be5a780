# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise draw what PyTorch and MLX draw, bit for bit.

CSM_SAMPLING_DRAWS: how many draws for each sampler and dtype."""

import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sampling_reference import (DTYPES, Case, csm_sample, mlx_tokens, rows, scaled, sesame_probs,
                                torch_dtype, torch_tokens, transformers_probs, warpers)

torch.set_num_threads(1)
DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 100_000))

# Vocabularies of 2 to 128256, k from 1 to all, temperatures from 0.05 to 5.
PLAIN = [
    Case(2051), Case(2051, k=5, t=0.5), Case(2051, k=0, t=1.0), Case(2051, k=1000, t=5.0),
    Case(2051, batch=16), Case(1027, k=50, t=0.7), Case(2, k=0, t=0.05), Case(3, k=2, t=1.2),
    Case(10, k=1, t=1.0), Case(15, k=0, t=2.0, batch=8), Case(16, k=4), Case(31, k=30, batch=8),
    Case(33, k=0), Case(100, k=50, batch=32, seed=7), Case(257, k=17, t=0.3, batch=8),
    Case(1000, k=1000, t=5.0, batch=16, seed=(1 << 40) + 7),
    Case(4096, k=64, batch=16), Case(32000, rows=16, k=50, batch=8), Case(128256, rows=8, k=40),
    Case(128256, rows=8, k=0, batch=2),
]
WARPED = [
    Case(64, k=50, top_p=0.9), Case(2051, k=50, top_p=0.9), Case(2051, k=0, min_p=0.05),
    Case(2051, k=20, t=0.7, top_p=0.8, min_p=0.02), Case(1000, k=50, batch=16, min_p=0.1),
    Case(100, k=40, t=1.3, top_p=0.5, batch=8),
]


def without_ties(x):
    """Rows whose highest 64 entries differ in bfloat16 too: top-p cuts through equal entries
    in an order that PyTorch's vector sort leaves to the machine."""
    n = x.shape[1]
    rank = n - 1 - np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1)
    # Steps of 1/16 below 8, which eight significant bits hold; the rest far below.
    return np.where(rank < 64, 7 - rank / 16, -8 - rank / 16).astype(np.float32)


def differing(got, want):
    return int((got != want).sum())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["transformers", "sesame"])
def test_the_tokens_of_torch(csm, tmp_path, sampler, dtype):
    for case in scaled(PLAIN, DRAWS):
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler)["tokens"]
        assert differing(got, torch_tokens(x, case, dtype, sampler)) == 0, case


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tokens_of_transformers_with_top_p_and_min_p(csm, tmp_path, dtype):
    for case in scaled(WARPED, DRAWS // 10):
        x = rows(case.vocab, case.rows, case.vocab)
        if case.top_p:
            x = without_ties(x)
        got = csm_sample(csm, tmp_path, case, x, dtype, "transformers")["tokens"]
        assert differing(got, torch_tokens(x, case, dtype, "transformers")) == 0, case


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
    got = csm_sample(csm, tmp_path, case, x, "f32", "transformers")
    torch.manual_seed(case.seed)
    for row in range(case.rows):
        p = transformers_probs(torch.from_numpy(x[row:row + 1]), case, warpers(case))[0]
        ratios = (p / torch.empty_like(p).exponential_(1)).sort(descending=True).values.double()
        assert got["margins"][0, row] == pytest.approx(float((ratios[0] / ratios[1]).log()),
                                                       rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["mlx-categorical", "csm-mlx"])
def test_the_tokens_of_mlx(csm, tmp_path, sampler, dtype):
    mx = pytest.importorskip("mlx.core")
    for case in scaled(PLAIN, DRAWS):
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version", mx.__version__)
        assert differing(got["tokens"], mlx_tokens(x, case, dtype, sampler)) == 0, case


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["mlx-categorical", "csm-mlx"])
def test_the_tokens_of_mlx_lm_with_top_p_and_min_p(csm, tmp_path, sampler, dtype):
    mx = pytest.importorskip("mlx.core")
    mlx_lm = pytest.importorskip("mlx_lm")
    for case in scaled(WARPED, DRAWS // 10):
        if sampler == "csm-mlx" and case.top_p and case.batch > 1:
            continue  # rows share one logsumexp: where a row vanishes, mlx-lm reads past its end
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version", mx.__version__,
                         "--mlx-lm-version", mlx_lm.__version__)
        assert differing(got["tokens"], mlx_tokens(x, case, dtype, sampler)) == 0, case


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_of_torch(csm, tmp_path, dtype):
    for shape in ((1, 1), (1, 7), (3, 2051), (2, 100003)):
        out = tmp_path / "noise.safetensors"
        csm("noise", "--stream", "torch-cpu", "--dtype", dtype, "--seed", 2**32 + 5, "--calls", 3,
            "--shape", f"{shape[0]},{shape[1]}", "--output", out)
        torch.manual_seed(2**32 + 5)
        want = [torch.empty(shape, dtype=torch_dtype(dtype)).exponential_(1).float().numpy()
                for _ in range(3)]
        assert np.array_equal(load_file(out)["noise"], np.stack(want))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_of_mlx(csm, tmp_path, dtype):
    mx = pytest.importorskip("mlx.core")
    kind = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}[dtype]
    for shape in ((1, 1), (1, 7), (3, 2051), (2, 100003)):
        out = tmp_path / "noise.safetensors"
        csm("noise", "--stream", "mlx", "--dtype", dtype, "--seed", 2**33 + 5, "--calls", 3,
            "--shape", f"{shape[0]},{shape[1]}", "--output", out)
        mx.random.seed(2**33 + 5)
        want = [np.array(mx.random.uniform(shape=shape, dtype=kind).astype(mx.float32))
                for _ in range(3)]
        assert np.array_equal(load_file(out)["noise"], np.stack(want))


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
    assert done.returncode == 3 and not (tmp_path / "o").exists() and done.stderr.startswith("csm: ")
