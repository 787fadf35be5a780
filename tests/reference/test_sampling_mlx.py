# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise draw what MLX draws, bit for bit; any MLX that is installed.

CSM_SAMPLING_DRAWS: how many draws for each sampler and dtype."""

import os
from importlib import metadata

import numpy as np
import pytest
from safetensors.numpy import load_file

from sampling_reference import (DTYPES, PLAIN, WARPED, csm_sample, differing, mlx_tokens, rows,
                                scaled)

mx = pytest.importorskip("mlx.core")
DRAWS = int(os.environ.get("CSM_SAMPLING_DRAWS", 20_000))
MLX = tuple(int(part) for part in mx.__version__.split(".")[:3])
# csm-mlx's logsumexp is one operation since 0.29.
SAMPLERS = ["mlx-categorical"] + (["csm-mlx"] if MLX >= (0, 29, 0) else [])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_tokens_of_mlx(csm, tmp_path, sampler, dtype):
    for case in scaled(PLAIN, DRAWS):
        if sampler == "csm-mlx" and case.batch > 1 and dtype != "f32" and MLX < (0, 32, 4):
            continue  # docs/EXACTNESS.md, Not covered
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version", mx.__version__)
        assert differing(got["tokens"], mlx_tokens(x, case, dtype, sampler)) == 0, case


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_tokens_of_mlx_lm_with_top_p_and_min_p(csm, tmp_path, sampler, dtype):
    for case in scaled(WARPED, DRAWS // 10):
        if sampler == "csm-mlx" and case.top_p and case.batch > 1:
            continue  # rows share one logsumexp: where a row vanishes, mlx-lm reads past its end
        x = rows(case.vocab, case.rows, case.vocab)
        got = csm_sample(csm, tmp_path, case, x, dtype, sampler, "--mlx-version", mx.__version__,
                         "--mlx-lm-version", metadata.version("mlx-lm"))
        assert differing(got["tokens"], mlx_tokens(x, case, dtype, sampler)) == 0, case


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
