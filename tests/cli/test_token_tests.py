# SPDX-License-Identifier: Apache-2.0
"""test_token_generation and test_tokens.sh as users run them: with PyTorch and MLX, and
where neither is there."""

import os
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"


@pytest.fixture
def bare(tmp_path):
    """An environment in which neither is found."""
    return {"CSM_ENGINE_DIR": str(tmp_path), "CSM_PYTHON": "false"}


@pytest.fixture
def tested(build_dir):
    def run(*args, env=None):
        done = subprocess.run([build_dir / "bin" / "test_token_generation", *map(str, args)],
                              capture_output=True, text=True, cwd=ROOT,
                              env={**os.environ, "CSM_PYTHON": sys.executable, **(env or {})})
        lines = done.stdout.splitlines()
        return done.returncode, lines, done.stderr

    return run


def starting(lines, word):
    return [line for line in lines if line.startswith(word)]


def test_samplers_against_all_that_is_there(tested):
    code, lines, _ = tested("--test-sampling")
    assert code == 0
    live = [line for line in starting(lines, "ok") if "live draws" in line]
    assert len(live) == 7 and all("200 of 200" in line for line in live)
    assert lines[-1].endswith("0 failed, 0 left out")


def test_samplers_without_pytorch_and_mlx(tested, bare):
    code, lines, _ = tested("--test-sampling", env=bare)
    assert code == 0
    assert sum("PyTorch is not there" in line for line in starting(lines, "-")) == 4
    assert sum("MLX is not there" in line for line in starting(lines, "-")) == 3
    assert lines[-1].endswith("0 failed, 7 left out")


SHORT = ["--text", "Hello there.", "--voice", CSM_A, "--iterations", 2, "--max-frames", 20]


@pytest.mark.parametrize("how", ["--use-exact", "--teacher-forcing"])
def test_exact_on_mlx_and_native_against_pytorch(tested, how):
    for engine in "mlx", "native":
        code, lines, errors = tested(*SHORT, how, "--engine", engine)
        assert code == 0, (lines, errors)
        assert lines[0] == f"exact on {engine} against hybrid on torch"
        assert lines[-1].endswith("0 failed, 0 left out")


def test_pure_is_compared_by_its_distribution(tested):
    code, lines, _ = tested(*SHORT)
    assert code == 0 and lines[0] == "pure on mlx against hybrid on torch"
    assert any("distributions of all seeds are alike" in line for line in starting(lines, "ok"))


def test_text_without_pytorch_and_mlx(tested, bare):
    code, lines, _ = tested(*SHORT, "--use-exact", env=bare)
    assert code == 0
    assert "exact on native against exact on native" in lines
    left_out = starting(lines, "-")
    assert len(left_out) == 2 and "mlx engine" in left_out[0] and "PyTorch" in left_out[1]


def test_a_check_that_does_not_hold_is_exit_code_1(tested, tmp_path):
    """A model that does not hear itself (embeddings of codes are zero) says the same frame
    again and again when greedy: stuck."""
    model = tmp_path / "deaf"
    shutil.copytree(CSM_A, model)
    tensors = load_file(model / "model.safetensors")
    tensors["depth_decoder.model.embed_tokens.weight"].zero_()
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    code, lines, _ = tested("--text", "Hello there.", "--voice", model, "--iterations", 1,
                            "--max-frames", 40, "--temperature", 0, "--use-exact", "--engine",
                            "native")
    assert code == 1 and starting(lines, "FAILED"), lines


def test_other_exit_codes(tested, bare, tmp_path):
    for wrong in ([], ["--test-sampling", "--text", "a"], ["--text", "a", "--iterations", 0],
                  ["--nonsense"]):
        assert tested(*wrong)[0] == 2, wrong
    code, _, errors = tested("--text", "a", "--voice", tmp_path / "none")
    assert code == 3 and errors.startswith("csm: ")
    code, _, errors = tested(*SHORT, "--engine", "mlx", env=bare)
    assert code == 4 and "not installed" in errors


def script(build_dir, *args, env=None):
    done = subprocess.run([ROOT / "test_tokens.sh", *args], capture_output=True, text=True,
                          env={**os.environ, "CSM_BUILD_DIR": str(build_dir), **(env or {})})
    table = done.stdout[done.stdout.rindex("-" * 79):].splitlines()[1:] if done.returncode < 2 else []
    return done.returncode, table


@pytest.mark.parametrize("is_bare", [False, True])
def test_the_script_ends_in_a_table(build_dir, bare, is_bare):
    code, table = script(build_dir, "--voice", CSM_A, env=bare if is_bare else None)
    assert code == 0 and len(table) == 7, table
    assert all(line[35:].startswith("held") for line in table)
    left_out = [line.split()[-3] for line in table if "left out" in line]
    assert left_out == (["7", "2", "2", "2"] if is_bare else ["0", "0", "0", "0"])


def test_the_script_fails_where_a_test_does(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in "csm", "test_token_generation":
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 3\n")
        (tmp_path / "bin" / name).chmod(0o755)
    code, table = script(tmp_path)
    assert code == 1 and all("FAILED (exit 3)" in line for line in table)
    assert script(tmp_path, "--nonsense")[0] == 2
