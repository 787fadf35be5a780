# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def model_dir():
    """A small model with random weights, in transformers' layout."""
    return ROOT / "tests" / "golden" / "csm-a"


@pytest.fixture(scope="session")
def csm_command():
    """Run the command that the package carries, or that of $CSM_BUILD_DIR."""
    from csm.cli.command import COMMAND

    built = os.environ.get("CSM_BUILD_DIR")
    command = pathlib.Path(built) / "bin" / "csm" if built else COMMAND

    def run(*arguments):
        return subprocess.run([command, *map(str, arguments)], check=True, capture_output=True)

    return run
