# SPDX-License-Identifier: Apache-2.0
"""The build backend: scikit-build-core, after a look for what libcsm is made with.

Nothing is installed: where a library is missing, the look says how each system's
package manager gets it, in place of a page of CMake.
"""

import pathlib
import subprocess

from scikit_build_core.build import *  # noqa: F403  the backend's hooks
from scikit_build_core.build import build_wheel as _build_wheel

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    looked = subprocess.run([ROOT / "scripts" / "install-deps", "--check", "python"],
                            stderr=subprocess.PIPE, text=True)
    if looked.returncode != 0:
        raise SystemExit(looked.stderr)
    return _build_wheel(wheel_directory, config_settings, metadata_directory)
