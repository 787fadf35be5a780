# SPDX-License-Identifier: Apache-2.0
"""The reference, which doxygen makes of the headers' comments: nothing public is without one."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))


def make(tree, out):
    return subprocess.run([tree / "scripts" / "reference", out], capture_output=True, text=True)


def test_every_function_type_and_constant_has_a_comment_that_is_right(tmp_path):
    done = make(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = "".join(page.read_text() for page in (tmp_path / "html").glob("*_8h.html"))
    exported = subprocess.run(["nm", "-D", "--defined-only", BUILD / "lib" / "libcsm.so"], check=True,
                              capture_output=True, text=True).stdout
    functions = set(re.findall(r" T (csm_\w+)", exported))
    assert len(functions) > 100
    assert not {name for name in functions if f">{name} <" not in pages and f">{name}<" not in pages}


@pytest.mark.parametrize("name, planted", [
    ("no comment", "CSM_API int csm_planted(void);"),
    ("no comment", "typedef struct csm_planted { int a; } csm_planted;"),
    ("no comment", "#define CSM_PLANTED 1"),
    ("another function", "/* As csm_no_such_thing. */\nCSM_API int csm_planted(void);"),
])
def test_what_is_missing_is_told(tmp_path, name, planted):
    for path in ["scripts/reference", "CMakeLists.txt"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    shutil.copytree(ROOT / "docs" / "reference", tmp_path / "docs" / "reference")
    (tmp_path / "include" / "csm").mkdir(parents=True)
    header = (ROOT / "include" / "csm" / "notes.h").read_text()
    (tmp_path / "include" / "csm" / "notes.h").write_text(header.replace("#ifdef __cplusplus\n}", f"{planted}\n\n#ifdef __cplusplus\n}}"))
    done = make(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert re.search("csm_planted|CSM_PLANTED|csm_no_such_thing", done.stderr), done.stderr
