# SPDX-License-Identifier: Apache-2.0
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def model_dir():
    """A small model with random weights, in transformers' layout."""
    return ROOT / "tests" / "golden" / "csm-a"
