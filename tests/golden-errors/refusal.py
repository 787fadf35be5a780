# SPDX-License-Identifier: Apache-2.0
"""A small valid model, a copy of it to be spoiled, and what a refusal is: exit code 3, one clear
line, no output left behind. Fixtures are imported by name: a second conftest.py would hide the
first one's names from tests that run with these."""

import shutil

import pytest

import small_model


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    small_model.write(directory)
    return directory


@pytest.fixture
def model(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def speak(csm, model, *more):
    out = model.parent / "out.wav"
    done = csm("generate", "--model-path", model, "--text", "Hi", "--seed", 1, "--engine", "native",
               "--max-audio-length-ms", 160, "--quiet", "--output", out, *more, check=False)
    return done, out


def assert_refused(done, out, why):
    assert done.returncode == 3, f"exit {done.returncode}: {done.stderr}"
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("csm: "), done.stderr
    assert why in lines[0], f"{lines[0]!r}: expected to tell {why!r}"
    assert len(lines[0]) < 520
    assert not out.exists() and not list(out.parent.glob("*.part"))
