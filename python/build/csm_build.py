# SPDX-License-Identifier: Apache-2.0
"""The build backend: scikit-build-core, after the step that installs what libcsm is made with.

So that `pip install .` works on a machine that has nothing of ours yet; the
step names what it installs and does nothing when all is there.
"""

import pathlib
import subprocess

from scikit_build_core.build import *  # noqa: F403  the backend's hooks
from scikit_build_core.build import build_wheel as _build_wheel

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    subprocess.run([ROOT / "scripts" / "install-deps", "python"], check=True)
    return _build_wheel(wheel_directory, config_settings, metadata_directory)
