# SPDX-License-Identifier: Apache-2.0
"""python packaging/vcpkg/check.py: the manifest as vcpkg's documentation has it (names, version, order of
vcpkg format-manifest), and the portfile run over stand_in.cmake. vcpkg itself is not needed."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PORT = HERE / "csm"
# In the order in which vcpkg format-manifest writes them.
FIELDS = ["name", "version", "port-version", "description", "homepage", "license", "supports", "dependencies"]


def check_manifest():
    text = (PORT / "vcpkg.json").read_text()
    manifest = json.loads(text)
    assert list(manifest) == [f for f in FIELDS if f in manifest], "fields unknown, or in another order"
    assert text == json.dumps(manifest, indent=2) + "\n", "not laid out as format-manifest does"
    version = re.search(r"project\(csm VERSION ([\d.]+)", (HERE.parents[1] / "CMakeLists.txt").read_text())[1]
    assert manifest["version"] == version, f"version {manifest['version']}, the project's is {version}"
    names = [d if isinstance(d, str) else d["name"] for d in manifest["dependencies"]]
    assert names == sorted(names) and len(set(names)) == len(names), "dependencies not in order"
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", n) for n in [manifest["name"], *names])
    called = set(re.findall(r"^(vcpkg_\w+)\(", (PORT / "portfile.cmake").read_text(), re.M))
    assert ("vcpkg-cmake" in names) == ("vcpkg_cmake_configure" in called)
    assert ("vcpkg-cmake-config" in names) == ("vcpkg_cmake_config_fixup" in called)


def check_portfile():
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["cmake", f"-DPORT={PORT}", f"-DWORK={work}/out", "-P", HERE / "stand_in.cmake"], check=True)


if __name__ == "__main__":
    check_manifest()
    said = "the manifest keeps to vcpkg's form"
    if "--manifest" not in sys.argv:
        check_portfile()
        said += "; the portfile ran over a stand-in"
    print(f"{said}; vcpkg itself did not run")
