# SPDX-License-Identifier: Apache-2.0
"""deploy/: the systemd unit and the Containerfile have nothing that their own linters remark."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import CSM, ROOT

HADOLINT = pathlib.Path(sys.executable).with_name("hadolint")
UNIT, CONTAINERFILE = ROOT / "deploy" / "csm.service", ROOT / "deploy" / "Containerfile"


def remarks(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed")
@pytest.mark.parametrize("change, remark", [(("", ""), ""), (("WORKDIR /src", "RUN cd /src"), "DL3003"),
                                            (("EXPOSE 8080", "EXPOSE 80800"), "DL3011")])
def test_hadolint_has_nothing_to_say(tmp_path, change, remark):
    """And says something when there is something wrong."""
    path = tmp_path / "Containerfile"
    path.write_text(CONTAINERFILE.read_text().replace(*change))
    found = remarks(HADOLINT, "--no-color", path)
    assert remark in found if remark else found == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("change, remark", [(("", ""), ""), (("ProtectClock", "ProtectClok"), "ProtectClok"),
                                            (("Restart=on-failure", "Restart=sometimes"), "sometimes")])
def test_systemd_has_nothing_to_say(tmp_path, change, remark):
    """Of the unit with the command where it is here: it looks whether that can be run."""
    path = tmp_path / "csm.service"
    path.write_text(UNIT.read_text().replace("/usr/local/bin/csm ", f"{CSM} ").replace(*change))
    found = remarks("systemd-analyze", "verify", path)
    assert remark in found if remark else found == ""
