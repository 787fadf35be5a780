# SPDX-License-Identifier: Apache-2.0


def test_the_command_tells_its_version(csm):
    assert csm("--version").stdout.startswith("csm ")


def test_an_unknown_command_is_a_usage_error(csm):
    assert csm("nonsense", check=False).returncode == 2
