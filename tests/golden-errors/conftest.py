# SPDX-License-Identifier: Apache-2.0
"""A small valid model, and a copy of it to be spoiled."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import small_model  # noqa: E402


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    small_model.write(directory)
    return directory


@pytest.fixture
def model(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")
