# SPDX-License-Identifier: Apache-2.0
"""The installed package by itself: NumPy, and nothing else of ours."""

import subprocess
import sys

import csm


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_brings_in_no_other_library():
    loaded = run(sys.executable, "-c", "import csm, sys; print(*sys.modules)").split()
    assert not {"numpy", "torch", "mlx", "transformers"} & set(loaded)


def test_the_embedded_voice_speaks():
    audio = csm.Model.from_pretrained().generate("Hello.", seed=1)
    assert 0.2 < len(audio) / 24000 < 10 and abs(audio).max() > 0.01


def test_the_commands_are_there(tmp_path):
    csm_command = run(sys.executable, "-c", "import csm.cli.command as c; print(c.COMMAND)").strip()
    assert run(csm_command, "--version").split() == ["csm", csm.__version__]
    assert run(sys.executable, "-m", "csm", "--version").split() == ["csm", csm.__version__]
    scripts = run(sys.executable, "-c",
                  "import sysconfig; print(sysconfig.get_path('scripts'))").strip()
    out = tmp_path / "out.wav"
    run(f"{scripts}/csm-generate-mlx", "--text", "Hi.", "--output", out, "--quiet")
    assert out.read_bytes()[:4] == b"RIFF"


def test_the_tests_for_users_run():
    for arguments in (["--test-sampling"], ["--text", "Test text", "--use-exact"]):
        said = run(sys.executable, "-m", "csm.cli.test_token_generation", *arguments)
        assert said.strip()
