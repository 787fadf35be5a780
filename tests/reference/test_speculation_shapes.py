# SPDX-License-Identifier: Apache-2.0
"""Speculation on models of other shapes than csm-a: tests/unit/test_speculation.c with a few
frames of each. Many more: tests/long/speculation."""

import os
import pathlib
import random
import subprocess
import sys

from random_shapes import random_shape

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))


def is_the_same(build_dir, model, n_frames):
    environment = dict(os.environ, CSM_MODEL=str(model), CSM_FRAMES=str(n_frames))
    done = subprocess.run([build_dir / "bin" / "test_speculation"], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_of_a_random_shape(build_dir, tmp_path):
    print(f"CSM_SEED={SEED}", random_shape(tmp_path / "m", SEED))
    is_the_same(build_dir, tmp_path / "m", 3)


def test_of_the_voices_float_twin(build_dir, tmp_path):
    subprocess.run([sys.executable, ROOT / "voice" / "unpack.py", ROOT / "voice" / "model", tmp_path / "m"],
                   check=True)
    is_the_same(build_dir, tmp_path / "m", 3)
