# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of a page, in their order, in an empty folder and one shell. Blocks ```sh must succeed; a
```text behind one is what it prints, with ... for what may differ. Plain ``` blocks are not run: they
install, or fetch what is large."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))
MODEL = ROOT / "tests" / "golden" / "csm-a"
BORDER = "=== end of a block ==="


def steps(page):
    """[(commands, what they print or None)]"""
    return [(sh, text) for sh, _, text in
            re.findall(r"^```sh\n(.*?)^```$(\n\n```text\n(.*?)^```$)?", page, re.M | re.S)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def is_as_shown(shown, printed):
    pattern = re.escape(shown.rstrip("\n")).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, printed.rstrip("\n"), re.S)


def run(script, work, env):
    """What each block printed, what was said on standard error, the exit status. A server that a failed page
    has left goes, too."""
    with open(work / ".out", "w+") as out, open(work / ".err", "w+") as err:
        shell = subprocess.Popen(["bash", "-c", script], cwd=work, env=env, stdout=out, stderr=err,
                                 start_new_session=True)
        try:
            status = shell.wait(timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
        out.seek(0), err.seek(0)
        return out.read().split(BORDER + "\n"), err.read(), status


@pytest.mark.parametrize("name, n_steps", [("TUTORIAL", 10), ("HOWTO", 10), ("DRAWS", 1), ("MODEL", 1)])
def test_the_commands_of_a_page_do_what_it_says(name, n_steps, tmp_path):
    page = (ROOT / "docs" / f"{name}.md").read_text()
    blocks = steps(page)
    assert len(blocks) >= n_steps
    port = free_port()
    ours = [(sh.replace("8080", port).replace("MODEL", str(MODEL)), (text or "").replace("8080", port), bool(text))
            for sh, text in blocks]
    script = "set -e\n" + "".join(f"{sh}\necho '{BORDER}'\n" for sh, _, _ in ours)
    env = {"PATH": f"{BUILD / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    work = tmp_path / "work"
    work.mkdir()
    printed, told, status = run(script, work, env)
    assert status == 0, f"{name}, block {len(printed)}:\n{ours[len(printed) - 1][0]}{printed[-1]}{told}"
    for (sh, text, is_shown), out in zip(ours, printed, strict=False):
        assert not is_shown or is_as_shown(text, out), f"{name}:\n{sh}\nprinted\n{out}\nexpected\n{text}"


def test_the_tutorial_has_ten_steps_each_with_a_command():
    parts = re.split(r"^## (\d+)\. ", (ROOT / "docs" / "TUTORIAL.md").read_text(), flags=re.M)
    assert parts[1::2] == [str(n) for n in range(1, 11)]
    assert all("```sh" in part for part in parts[2::2])


def test_pages_name_files_that_are_there():
    """Each link of each page to a file of this tree."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_package_that_is_pinned_has_its_reason():
    page = (ROOT / "docs" / "DEPENDENCIES.md").read_text().lower()
    pins = [*(ROOT / "tests").glob("*/requirements.txt"), ROOT / "bench" / "mark" / "requirements.txt",
            ROOT / "voice" / "requirements.txt"]
    names = {name.lower() for pin in pins for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", pin.read_text(), re.M)}
    assert len(names) > 30
    also = {"av": "pyav"}
    for name in names:
        assert re.search(rf"\b{re.escape(also.get(name, name))}\b", page), name


def test_the_c_code_of_the_readme_speaks(tmp_path):
    """As it stands, in a main() that looks at the status of its calls."""
    page = (ROOT / "README.md").read_text()
    code = re.search(r"^```c\n(.*?)^```$", page, re.M | re.S)[1]
    checked = re.sub(r"^(csm_\w+\(.*?\));", r"if (\1 != CSM_OK) return 1;", code, flags=re.M)
    assert checked.count("!= CSM_OK") == 2
    (tmp_path / "a.c").write_text(f"#include <csm/csm.h>\nint main(void)\n{{\n{checked}\n"
                                  "return result->n_samples < 10000;\n}\n")
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", f"-I{ROOT / 'include'}", tmp_path / "a.c",
                    f"-L{BUILD / 'lib'}", f"-Wl,-rpath,{BUILD / 'lib'}", "-lcsm", "-o", tmp_path / "a"], check=True)
    subprocess.run([tmp_path / "a"], check=True)
