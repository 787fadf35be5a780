# SPDX-License-Identifier: Apache-2.0
"""What libcsm shows to those who link it."""

import pathlib
import re
import subprocess

SOURCE = pathlib.Path(__file__).parents[2]


def symbols(path, *options):
    done = subprocess.run(["nm", "--defined-only", *options, path], capture_output=True, text=True,
                          check=True)
    return [line.split()[2] for line in done.stdout.splitlines() if len(line.split()) == 3]


def test_every_global_of_the_archive_has_the_prefix(build_dir):
    names = symbols(build_dir / "lib" / "libcsm.a", "-g")
    assert len(names) > 100
    assert [name for name in names if not name.startswith("csm_")] == []


def test_the_shared_library_shows_what_the_headers_declare(build_dir):
    headers = "".join(path.read_text() for path in (SOURCE / "include" / "csm").glob("*.h"))
    declared = set(re.findall(r"CSM_API[^;{]*?\b(csm_\w+)\(", headers))
    shown = {name for name in symbols(build_dir / "lib" / "libcsm.so", "-D")
             if name.startswith("csm_")}
    assert shown == declared


def test_nothing_above_the_table_compares_an_engines_name():
    """What an engine can do it states as traits; engine/open.c alone knows names."""
    names = re.compile(r'strcmp\([^;]*"(native|mlx|torch|cuda)"|strcmp\([^;]*ops->name')
    above = [path for room in ("model", "generate", "conversation")
             for path in (SOURCE / "src" / room).glob("*.c")]
    assert len(above) > 30
    assert [str(path) for path in above if names.search(path.read_text())] == []
