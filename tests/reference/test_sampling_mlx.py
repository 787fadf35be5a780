# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise draw what MLX draws, bit for bit; any MLX that is installed.

CSM_SAMPLING_DRAWS: how many draws for each sampler and dtype."""

import os
from importlib import metadata

import numpy as np
import pytest
from safetensors.numpy import load_file

from sampling_reference import (DTYPES, PLAIN, WARPED, assert_none_differs, csm_sample,
                                mlx_tokens, scaled)

mx = pytest.importorskip("mlx.core")
DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 20_000))
MLX = tuple(int(part) for part in mx.__version__.split(".")[:3])
SAMPLERS = ["mlx-categorical", "csm-mlx"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_tokens_of_mlx(csm, tmp_path, sampler, dtype):
    assert_none_differs(
        f"mlx {mx.__version__}, {sampler}, {dtype}", scaled(PLAIN, DRAWS),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version",
                                   mx.__version__)["tokens"],
        lambda case, x: mlx_tokens(x, case, dtype, sampler))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_tokens_of_mlx_lm_with_top_p_and_min_p(csm, tmp_path, sampler, dtype):
    cases = WARPED
    if sampler == "csm-mlx":
        # Rows of a batch share one logsumexp: where a row vanishes, mlx-lm reads past its end.
        cases = [c for c in cases if c.batch == 1 or not c.top_p]
    mlx_lm = metadata.version("mlx-lm")
    assert_none_differs(
        f"mlx {mx.__version__}, mlx-lm {mlx_lm}, {sampler} with top-p, min-p, {dtype}",
        scaled(cases, DRAWS // 10),
        lambda case, x: csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version",
                                   mx.__version__, "--mlx-lm-version", mlx_lm)["tokens"],
        lambda case, x: mlx_tokens(x, case, dtype, sampler))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_of_mlx(csm, tmp_path, dtype):
    if dtype != "f32" and MLX < (0, 26, 5):
        pytest.skip("16-bit uniforms took 16 bits each before 0.26.5")
    kind = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}[dtype]
    for shape in ((1, 1), (1, 7), (3, 2051), (2, 100003)):
        out = tmp_path / "noise.safetensors"
        csm("noise", "--stream", "mlx", "--dtype", dtype, "--seed", 2**33 + 5, "--calls", 3,
            "--shape", f"{shape[0]},{shape[1]}", "--output", out)
        mx.random.seed(2**33 + 5)
        want = [np.array(mx.random.uniform(shape=shape, dtype=kind).astype(mx.float32))
                for _ in range(3)]
        assert np.array_equal(load_file(out)["noise"], np.stack(want))
