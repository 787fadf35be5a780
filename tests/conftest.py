# SPDX-License-Identifier: Apache-2.0
"""Where the Python tests find what was built."""

import os
import pathlib
import signal
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A shell's background job ignores interrupts, and so would every program that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def build_dir():
    return pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))


@pytest.fixture(scope="session")
def csm(build_dir):
    """Run the csm command: csm("generate", "--text", ...) gives the completed process."""

    def run(*args, check=True, **kwargs):
        done = subprocess.run([build_dir / "bin" / "csm", *map(str, args)],
                              capture_output=True, text=True, **kwargs)
        if check:
            assert done.returncode == 0, f"csm {args}: exit {done.returncode}: {done.stderr}"
        return done

    return run
