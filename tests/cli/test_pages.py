# SPDX-License-Identifier: Apache-2.0
"""Man pages and completions, which scripts/command-pages makes of the command's help."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def pages(build_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    subprocess.run([ROOT / "scripts" / "command-pages", build_dir / "bin" / "csm", out], check=True)
    return out


def complete(pages, *words):
    script = f""". {pages}/csm.bash
COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _csm; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True,
                          text=True).stdout.split()


def test_commands_and_options_are_completed(pages):
    assert complete(pages, "csm", "quan") == ["quantize"]
    assert complete(pages, "csm", "quantize", "--g") == ["--group"]
    assert "--text" in complete(pages, "csm", "generate", "--te")


def test_every_command_has_a_page_with_its_help(pages, csm):
    for name in re.findall(r"^  ([a-z-]+) ", csm("help").stdout, re.M):
        page = (pages / "man" / "man1" / f"csm-{name}.1").read_text()
        assert csm(name, "--help").stdout.splitlines()[0].replace("-", "\\-") in page


def test_every_option_that_is_completed_is_one(pages, csm):
    """A help may speak of another command's options: voice does of generate's."""
    for line in (pages / "csm.fish").read_text().splitlines():
        found = re.search(r"from (\S+)' -l (\S+)", line)
        if found and found[2] != "help":
            done = csm(found[1], f"--{found[2]}=", "--no-such-option", check=False)
            assert f"no option --{found[2]}" not in done.stderr, f"{found[1]} --{found[2]}"


def test_the_pages_are_clean(pages):
    if shutil.which("groff") is None:
        pytest.skip("groff is not here")
    for page in (pages / "man" / "man1").iterdir():
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", page
