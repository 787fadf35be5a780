# SPDX-License-Identifier: Apache-2.0
import json
import os

import pytest

from conftest import ROOT


def test_the_command_tells_its_version(csm):
    assert csm("--version").stdout.startswith("csm ")


def test_an_unknown_command_is_a_usage_error(csm):
    assert csm("nonsense", check=False).returncode == 2


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
