# SPDX-License-Identifier: Apache-2.0
import json
import os

import pytest

from conftest import ROOT


def test_the_command_tells_its_version(csm):
    assert csm("--version").stdout.startswith("csm ")


def test_an_unknown_command_is_a_usage_error(csm):
    assert csm("nonsense", check=False).returncode == 2


def test_help_is_found_by_each_of_its_names(csm):
    for command in "generate", "codec", "voice":
        page = csm(command, "--help").stdout
        assert page.startswith("usage: csm " + command) and csm(command, "-h").stdout == page
        assert csm("help", command).stdout == csm("--help", command).stdout == page
    assert csm("-h").stdout == csm("help").stdout == csm("--help").stdout
    done = csm("help", "speak", check=False)
    assert done.returncode == 2 and "csm: no command 'speak'" in done.stderr


def test_one_dash_is_no_file(csm, tmp_path):
    """Other programs have -o; a file may be called so, too."""
    done = csm("generate", "-o", "a.wav", "--text", "Hi.", check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "csm: generate: no option -o; --help lists them\n")
    csm("generate", "--text", "Hi.", "--output", "-o.wav", cwd=tmp_path)
    assert csm("detect", "--", "-o.wav", cwd=tmp_path, check=False).stdout.startswith("-o.wav: not marked")


def test_threads_are_the_cores_that_the_process_may_use(csm):
    """Not those of the machine: a container or taskset gives fewer."""
    first = min(os.sched_getaffinity(0))
    done = csm("generate", "--text", "One.", "--output", "none", "--json",
               preexec_fn=lambda: os.sched_setaffinity(0, {first}))
    assert json.loads(done.stdout)["choices"]["threads"] == 1


@pytest.mark.parametrize("asked", ["stored", "bf16"])
def test_a_benchmark_names_the_dtype_that_it_ran(csm, asked):
    line = ["bench", "--model-path", ROOT / "tests" / "golden" / "csm-a", "--frames", 2, "--dtype", asked]
    assert json.loads(csm(*line, "--json").stdout)["dtype"] == asked
    assert f", {asked}, " in csm(*line).stdout
