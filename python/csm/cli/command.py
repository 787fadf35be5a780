# SPDX-License-Identifier: Apache-2.0
"""The programs that the wheel carries: csm, and the tests for users."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import NoReturn

_PROGRAMS = pathlib.Path(__file__).parents[1] / "bin"
COMMAND = _PROGRAMS / "csm"


def _become(program: pathlib.Path, *arguments: str) -> NoReturn:
    sys.stdout.flush()
    # Where a program asks PyTorch or MLX, it asks those of this Python.
    os.execve(program, [str(program), *arguments], {"CSM_PYTHON": sys.executable, **os.environ})


def main() -> NoReturn:
    """csm ..."""
    _become(COMMAND, *sys.argv[1:])


def generate_mlx() -> NoReturn:
    """csm-generate-mlx ... : csm generate ..."""
    _become(COMMAND, "generate", *sys.argv[1:])


def test_token_generation() -> NoReturn:
    """python -m csm.cli.test_token_generation ..."""
    _become(_PROGRAMS / "test_token_generation", *sys.argv[1:])
