# SPDX-License-Identifier: Apache-2.0
"""Rules that the source keeps, each for the fault that it keeps away."""

import re

from conftest import ROOT


def sources(*rooms):
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".c", ".h", ".cpp"):
                yield path, path.read_text()


def test_numbers_with_a_fraction_go_through_the_numbers_room():
    """The standard's own functions write and read a comma where the host's locale has one."""
    own = ROOT / "src" / "base"
    for path, text in sources("src", "python/src"):
        if path in (own / "numbers.c", own / "numbers.h", ROOT / "src/engine/native/kernels_check.c"):
            continue  # the last prints to a developer and aborts
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        assert not re.search(r"\b(strto[dfl]|strtold|atof|v[a-z]*printf)\(", code.replace("strtol(", "")), path
        for call in re.findall(r"\b[a-z]*printf\((?:[^;\"]|\"(?:\\.|[^\"\\])*\")*;", code):
            assert not re.search(r"%[-+ #0-9.*]*[aefgAEFG]", call), f"{path}: {call}"


def test_half_floats_are_converted_in_one_place():
    """Seven copies of it once were: each knew the exponent's mask, its bias or 2^-24."""
    own = ROOT / "src" / "base" / "numbers.h"
    for path, text in sources("src", "cli", "python/src"):
        if path != own:
            assert not re.search(r"0x1p112|0x7c00\b|\+ 112\) << 23|ldexpf?\([^;]*24\)", text), path
