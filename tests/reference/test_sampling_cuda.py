# SPDX-License-Identifier: Apache-2.0
"""csm sample --stream torch-cuda draws what PyTorch draws on a GPU, bit for bit.

Needs a GPU that holds 270,336 threads (H100, H200) and its torch; a million draws for each
sampler and dtype with CSM_SAMPLING_DRAWS=1000000."""

import os

import numpy as np
import pytest
import torch

from sampling_reference import (DTYPES, PLAIN, WARPED, assert_none_differs, case_rows,
                                csm_sample, scaled, torch_tokens)

DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 100_000))
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU with CUDA")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", ["transformers", "sesame"])
def test_the_tokens_of_torch_on_cuda(csm, tmp_path, sampler, dtype):
    assert_none_differs(
        f"torch {torch.__version__} on CUDA, {sampler}, {dtype}", scaled(PLAIN, DRAWS),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, sampler, "--stream",
                                   "torch-cuda")["tokens"],
        lambda case, x: torch_tokens(x, case, dtype, sampler, device="cuda"))


def without_ties(case):
    """Rows whose highest 64 entries differ in bfloat16 too: in which order torch.sort
    leaves equal ones on CUDA was not compared."""
    x = case_rows(case)
    rank = case.vocab - 1 - np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1)
    # Steps of 1/16 below 8, which eight significant bits hold; the rest far below.
    return np.where(rank < 64, 7 - rank / 16, -8 - rank / 16).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tokens_of_transformers_on_cuda_with_top_p_and_min_p(csm, tmp_path, dtype):
    assert_none_differs(
        f"torch {torch.__version__} on CUDA, transformers with top-p, min-p, {dtype}",
        scaled(WARPED, DRAWS // 10),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, "transformers", "--stream",
                                   "torch-cuda")["tokens"],
        lambda case, x: torch_tokens(x, case, dtype, "transformers", device="cuda"),
        lambda case: without_ties(case) if case.top_p else case_rows(case))
