# SPDX-License-Identifier: Apache-2.0
"""docs/DRAWS.md: its table and its two pictures are of the noise that csm gives today."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))


def test_table_and_pictures_are_what_the_script_makes(tmp_path):
    rows = subprocess.run([ROOT / "scripts" / "draw-pictures", BUILD / "bin" / "csm", tmp_path],
                          check=True, capture_output=True, text=True).stdout
    assert rows.count("\n") == 5 and rows in (ROOT / "docs" / "DRAWS.md").read_text()
    for name in ("race.svg", "margin.svg"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / "draws" / name).read_text(), name
