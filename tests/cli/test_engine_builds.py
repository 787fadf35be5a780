# SPDX-License-Identifier: Apache-2.0
"""An engine that cannot be built fails nothing else: scripts/build with a CMake that records
its calls and fails where it is told to."""

import os
import shutil
import subprocess

import pytest

from conftest import ROOT

CMAKE = """#!/bin/sh
echo "$@" >>"$CALLS"
case " $* " in *"$FAILS"*) echo "error: cudnn.h: No such file"; exit 1 ;; esac
"""


@pytest.fixture
def build(tmp_path):
    tree = tmp_path / "tree"
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "build", tree / "scripts" / "build")
    (tree / "scripts" / "engines").write_text(
        "#!/bin/sh\necho -DCSM_PYTHON=python3 -DCSM_BUILD_MLX=ON -DCSM_BUILD_TORCH=ON\n")
    (tree / "scripts" / "engines").chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cmake").write_text(CMAKE)
    (tmp_path / "bin" / "cmake").chmod(0o755)

    def run(fails, *options):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "CALLS": str(calls),
               "FAILS": fails}
        done = subprocess.run([tree / "scripts" / "build", "build", "2", *options], env=env,
                              capture_output=True, text=True)
        return done, calls.read_text()

    return run


@pytest.mark.parametrize("fails", ["-DCSM_BUILD_MLX=ON", "--target csm_engine_mlx"])
def test_one_engine_fails_alone(build, fails):
    done, calls = build(fails)
    assert done.returncode == 0
    assert "engine mlx: not built" in done.stderr and "cudnn.h" in done.stderr
    assert "--target csm_engine_torch" in calls
    assert "-DCSM_BUILD_MLX=OFF" in calls.splitlines()[-3]


def test_a_library_that_fails_fails_the_build(build):
    assert build("--build build -j 2 ")[0].returncode != 0
    assert build("-DCSM_ENGINES_MAY_FAIL=ON")[0].returncode != 0


def test_an_engine_that_is_not_wanted_is_not_built(build):
    _, calls = build("nothing fails", "-DCSM_BUILD_TORCH=OFF")
    assert "--target csm_engine_mlx" in calls and "csm_engine_torch" not in calls
