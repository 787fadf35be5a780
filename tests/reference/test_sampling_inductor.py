# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise over --stream torch-inductor draw what samplers under torch.compile
draw on the CPU, bit for bit.

CSM_SAMPLING_DRAWS: how many draws for each sampler and dtype."""

import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sampling_reference import (PLAIN, WARPED, assert_none_differs, csm_sample, rows, scaled,
                                sesame_probs, torch_dtype, transformers_probs, warpers)

DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 20_000))


@torch.compile(dynamic=True)
def draw(probs):
    """The race as samplers write it; inside a compiled graph exponential_ is the compiler's."""
    return torch.argmax(probs / torch.empty_like(probs).exponential_(1), dim=-1)


def compiled_tokens(x, case, dtype, sampler):
    """[rounds, rows] after one torch.manual_seed; the probabilities are eager's."""
    x = torch.from_numpy(x).to(torch_dtype(dtype))
    calls = [x[at:at + case.batch].clone() for at in range(0, case.rows, case.batch)]
    if sampler == "sesame":
        calls = [sesame_probs(rows, case) for rows in calls]
    else:
        calls = [transformers_probs(rows, case, warpers(case)) for rows in calls]
    torch.manual_seed(case.seed)
    drawn = [draw(probs) for _ in range(case.rounds) for probs in calls]
    return torch.cat(drawn).reshape(case.rounds, case.rows).numpy()


@pytest.mark.parametrize("sampler, dtype", [("transformers", "f32"), ("transformers", "bf16"),
                                            ("sesame", "f32")])
def test_the_tokens_of_compiled_races(csm, tmp_path, sampler, dtype):
    cases = scaled(PLAIN, DRAWS)
    assert_none_differs(
        f"torch.compile {torch.__version__}, {sampler}, {dtype}", cases,
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, sampler, "--stream",
                                   "torch-inductor")["tokens"],
        lambda case, x: compiled_tokens(x, case, dtype, sampler))


def test_the_tokens_of_compiled_races_with_top_p_and_min_p(csm, tmp_path):
    assert_none_differs(
        f"torch.compile {torch.__version__}, transformers with top-p, min-p, f32",
        scaled(WARPED, DRAWS // 10),
        lambda case, x: csm_sample(csm, tmp_path, case, x, "f32", "transformers", "--stream",
                                   "torch-inductor")["tokens"],
        lambda case, x: compiled_tokens(x, case, "f32", "transformers"))


@pytest.mark.parametrize("seed", [0, 42, 2**40 + 5, 2**64 - 1])
def test_the_noise_of_compiled_calls(csm, tmp_path, seed):
    @torch.compile(dynamic=True)
    def noise(n, m):
        return torch.empty(n, m).exponential_(1)

    for shape in [(1, 1), (1, 2051), (8, 2051), (3, 7), (1, 128256)]:
        torch.manual_seed(seed if seed < 2**63 else seed - 2**64)
        theirs = np.stack([noise(*shape).numpy() for _ in range(3)])
        csm("noise", "--stream", "torch-inductor", "--seed", seed, "--shape",
            "%d,%d" % shape, "--calls", 3, "--output", tmp_path / "n")
        ours = load_file(tmp_path / "n")["noise"]
        assert np.array_equal(ours, theirs), shape


def test_a_sampler_compiled_as_a_whole(csm, tmp_path):
    """Sesame's sample_topk in one graph: its probabilities are the compiler's, a rounding away
    from eager's, so tokens are compared where the margin is above that."""
    case = scaled(PLAIN, 3000)[0]
    x = rows(2051, case.rows, 1)
    whole = torch.compile(lambda x: draw(sesame_probs(x, case)))
    torch.manual_seed(case.seed)
    theirs = np.stack([np.concatenate([whole(torch.from_numpy(x[i:i + 1])).numpy()
                                       for i in range(case.rows)]) for _ in range(case.rounds)])
    ours = csm_sample(csm, tmp_path, case, x, "f32", "sesame", "--stream", "torch-inductor")
    differs = ours["tokens"] != theirs
    # float32 softmax of 2051 entries in another order: some 1e-5 at most, on either side
    assert not differs[ours["margins"] > 1e-4].any()
    assert differs.mean() < 1e-3


@pytest.mark.parametrize("args, expected", [
    (("--sampler", "sesame", "--dtype", "bf16"), "expected F32"),
    (("--sampler", "csm-mlx"), "expected stream mlx"),
])
def test_what_no_compiled_sampler_does_is_refused(csm, tmp_path, args, expected):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros((1, 4), np.float32)}, tmp_path / "x")
    done = csm("sample", tmp_path / "x", "--tensor", "x", "--stream", "torch-inductor",
               "--output", tmp_path / "o", *args, check=False)
    assert done.returncode == 2 and expected in done.stderr and not (tmp_path / "o").exists()
