# SPDX-License-Identifier: Apache-2.0
"""The csm command that the wheel carries."""

from __future__ import annotations

import os
import pathlib
import sys

COMMAND = pathlib.Path(__file__).parents[1] / "bin" / "csm"


def _run(*arguments: str) -> int:
    sys.stdout.flush()
    os.execv(COMMAND, [str(COMMAND), *arguments])


def main() -> int:
    """csm ..."""
    return _run(*sys.argv[1:])


def generate_mlx() -> int:
    """csm-generate-mlx ... : csm generate ..."""
    return _run("generate", *sys.argv[1:])
