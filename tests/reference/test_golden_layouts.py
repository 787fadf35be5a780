# SPDX-License-Identifier: Apache-2.0
"""Stored outputs of Sesame's code, csm-mlx and moshi for the same weights in
their own layouts: hidden states, logits, tokens, sound (test_model_golden.c)."""

import os
import pathlib
import subprocess

import pytest

import layouts
from conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def layout_dir(tmp_path_factory):
    """The directory of csm-a in one layout, made once."""
    root = tmp_path_factory.mktemp("layouts")

    def make(name):
        if not (root / name).exists():
            layouts.GOLDEN[name](GOLDEN / "csm-a", root / name)
        return root / name

    return make


@pytest.mark.parametrize("engine", ["native", "scalar", "mlx"])
@pytest.mark.parametrize("name", layouts.GOLDEN)
def test_the_layout_gives_its_references_numbers(layout_dir, name, engine):
    outputs = GOLDEN / ("csm-a" if name == "csm-a-hub" else name) / "golden.safetensors"
    build = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))
    done = subprocess.run([build / "bin" / "test_model_golden", layout_dir(name), outputs],
                          capture_output=True, text=True,
                          env=os.environ | {"CSM_TEST_ENGINE": engine})
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
