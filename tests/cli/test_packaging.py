# SPDX-License-Identifier: Apache-2.0
"""What packagers' files say of the project is what the project says. tests/long/packages builds them."""

import re
import subprocess
import sys

from conftest import ROOT

VERSION = re.search(r"project\(csm VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


def test_debian_has_the_version_and_the_library_its_name():
    changelog = (ROOT / "debian" / "changelog").read_text()
    assert re.match(r"csm \((.*)-\d+\)", changelog)[1] == VERSION
    soname = "libcsm" + VERSION.rsplit(".", 1)[0]
    assert f"Package: {soname}\n" in (ROOT / "debian" / "control").read_text()
    assert (ROOT / "debian" / f"{soname}.install").exists()


def test_debian_builds_with_what_the_build_looks_for():
    """Each library of scripts/install-deps is among the build dependencies."""
    control = (ROOT / "debian" / "control").read_text().split("\n\n")[0]
    table = re.search(r"^build='\n(.*?)^'", (ROOT / "scripts" / "install-deps").read_text(), re.M | re.S)[1]
    packages = {line.split()[2] for line in table.splitlines()} - {"gcc", "make"}  # build-essential
    missing = {p for p in packages if not re.search(rf"^\s*(Build-Depends: )?{re.escape(p)}\b", control, re.M)}
    assert not missing


def test_the_vcpkg_manifest_keeps_to_its_form():
    subprocess.run([sys.executable, ROOT / "packaging" / "vcpkg" / "check.py", "--manifest"], check=True)


def test_the_homebrew_formula_is_of_the_archive_that_is_given(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"source")
    formula = subprocess.run([ROOT / "packaging" / "homebrew" / "formula", "https://example.org/a.tar.gz",
                              tmp_path / "a.tar.gz"], check=True, capture_output=True, text=True).stdout
    assert '  sha256 "41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d"' in formula  # sha256sum's
    assert f'version "{VERSION}"' in formula and "@" not in formula.replace("openssl@3", "")
