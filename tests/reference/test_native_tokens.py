# SPDX-License-Identifier: Apache-2.0
"""A seed means the same on any number of threads."""

import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16", "q8", "q4"])
def test_logits_have_the_same_bits_on_any_number_of_threads(csm, tmp_path, dtype):
    first = None
    for threads in (1, 2, 5):
        out = tmp_path / f"{threads}.safetensors"
        csm("generate", "--model-path", GOLDEN / "csm-a", "--engine", "native", "--dtype", dtype,
            "--strategy", "exact", "--text", "One and the same.", "--seed", 11, "--threads", threads,
            "--max-audio-length-ms", 1200, "--output", "none", "--save-tokens", out, "--save-logits")
        got = load_file(out)
        first = first or got
        assert np.array_equal(got["codes"], first["codes"])
        assert np.array_equal(got["logits"].view(np.int32), first["logits"].view(np.int32))
