# SPDX-License-Identifier: Apache-2.0
"""Voices, streaming, dialogues and long texts, through the command, with the embedded voice."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile

TEXT = "Hello there. It costs $5.20, Dr. Smith. Good bye."


@pytest.fixture(scope="module")
def speech(csm, tmp_path_factory):
    out = tmp_path_factory.mktemp("speech") / "out.wav"
    csm("generate", "--text", "Hello there.", "--seed", 3, "--output", out)
    return out


@pytest.fixture
def voices(tmp_path):
    return {**os.environ, "CSM_VOICES": str(tmp_path / "voices")}


def test_a_long_text_is_spoken_sentence_by_sentence(csm, tmp_path):
    out = tmp_path / "out.wav"
    told = json.loads(csm("generate", "--text", TEXT, "--output", out, "--json").stdout)
    assert [u["text"] for u in told["utterances"]] == [
        "Hello there.", "It costs five dollars and twenty cents, Doctor Smith.", "Good bye."]
    sound, rate = soundfile.read(out)
    # Three utterances and two pauses of 160 ms.
    assert rate == 24000 and len(sound) == round((told["seconds"] + 0.32) * rate)
    assert np.abs(np.diff(sound)).max() < 0.9  # no step of nearly full scale: no click


def test_the_whole_and_the_text_as_written_are_spoken_when_asked(csm):
    told = json.loads(csm("generate", "--text", TEXT, "--output", "none", "--json", "--whole",
                          "--no-normalize").stdout)
    assert told["text"] == TEXT


def test_what_is_streamed_is_what_is_written(csm, speech, build_dir):
    def stream(form):
        return subprocess.run([build_dir / "bin" / "csm", "generate", "--text", "Hello there.",
                               "--seed", "3", "--output", "-", "--format", form],
                              capture_output=True, check=True).stdout

    written = speech.read_bytes()[44:]
    assert stream("s16le") == written
    assert stream("wav")[44:] == written
    floats = np.frombuffer(stream("f32le"), "<f4")
    expected = np.frombuffer(written, "<i2")
    # Rounded and clipped to 16 bits.
    assert np.abs(np.clip(floats * 32768, -32768, 32767) - expected).max() <= 1


def test_the_first_sound_comes_before_the_last(build_dir):
    process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text",
                                "This is a sentence of some length, to be heard as it is made.",
                                "--output", "-", "--format", "s16le"], stdout=subprocess.PIPE)
    sizes = []
    while piece := os.read(process.stdout.fileno(), 1 << 20):
        sizes.append(len(piece))
    assert process.wait() == 0
    assert len(sizes) > 3 and sizes[0] <= 4 * 3840  # 80 ms are 3,840 bytes


def test_a_closed_pipe_ends_the_command(build_dir):
    process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text", TEXT,
                                "--output", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(timeout=60) in (3, -signal.SIGPIPE)


def test_a_voice_is_added_used_and_removed(csm, speech, voices, tmp_path):
    csm("voice", "add", "anna", "--audio", speech, "--text", "Hello there.", env=voices)
    assert "anna" in csm("voice", "list", env=voices).stdout
    out = tmp_path / "a.wav", tmp_path / "b.wav"
    csm("generate", "--text", "One more.", "--voice", "anna", "--seed", 1, "--output", out[0],
        env=voices)
    csm("generate", "--text", "One more.", "--context-audio", speech, "--context-text",
        "Hello there.", "--speaker", 0, "--seed", 1, "--output", out[1])
    assert out[0].read_bytes() == out[1].read_bytes()
    csm("voice", "remove", "anna", env=voices)
    assert "anna" not in csm("voice", "list", env=voices).stdout


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["voice", "add", "bob", "--audio", "x.wav"], 2, "--text"),
    (["voice", "add", "../bob", "--audio", "x.wav", "--text", "y"], 3, "x.wav"),
    (["voice", "remove", "bob"], 2, "bob"),
    (["voice"], 2, "add, list or remove"),
    (["generate", "--text", "x", "--voice", "nobody"], 2, "nobody"),
    (["generate", "--text", "x", "--output", "none", "--resume"], 2, "--output"),
    (["generate", "--text", "x", "--guard", "--no-guard"], 2, "--guard"),
    (["generate", "--text", "x", "--min-audio-length-ms", "20000"], 2, "--min-audio-length-ms"),
    (["generate", "--text", "x", "--format", "mp3"], 2, "mp3"),
])
def test_wrong_use_is_told(csm, voices, tmp_path, arguments, code, says):
    done = csm(*arguments, check=False, env=voices, cwd=tmp_path)
    assert done.returncode == code and says in done.stderr
    assert list(tmp_path.glob("*.wav")) == []


def test_a_dialogue_has_its_speakers_and_their_turns(csm, tmp_path):
    script = tmp_path / "script.txt"
    script.write_text("[0] Hello.\n\n[1] Hi there!\r\n  [0] Bye now.\n")
    out = tmp_path / "out.wav"
    told = json.loads(csm("generate", "--script", script, "--output", out, "--json").stdout)
    assert [(u["speaker"], u["text"]) for u in told["utterances"]] == [
        (0, "Hello."), (1, "Hi there!"), (0, "Bye now.")]
    csm("generate", "--script", script, "--output", out, "--per-turn")
    each = [soundfile.info(tmp_path / f"out-{i:03}.wav").duration for i in (1, 2, 3)]
    assert each == pytest.approx([u["seconds"] for u in told["utterances"]])


def test_a_script_that_is_none_is_refused_with_its_line(csm, tmp_path):
    script = tmp_path / "script.txt"
    script.write_text("[0] Hello.\nNobody says this.\n")
    done = csm("generate", "--script", script, "--output", tmp_path / "out.wav", check=False)
    assert done.returncode == 3 and "line 2" in done.stderr
    assert not (tmp_path / "out.wav").exists()


def test_at_least_so_long(csm):
    told = json.loads(csm("generate", "--text", "Hi.", "--min-audio-length-ms", 3000, "--no-guard",
                          "--output", "none", "--json").stdout)
    assert told["seconds"] >= 3


def test_an_interrupted_job_goes_on_to_the_same_file(csm, tmp_path, build_dir):
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"This is sentence number {i}." for i in range(1, 9)))
    whole, resumed = tmp_path / "whole.wav", tmp_path / "resumed.wav"
    csm("generate", "--text-file", text, "--output", whole, "--seed", 5)

    arguments = [build_dir / "bin" / "csm", "generate", "--text-file", text, "--output", resumed,
                 "--seed", "5", "--resume"]
    process = subprocess.Popen(list(map(str, arguments)))
    parts = tmp_path / "resumed.wav.parts"
    while process.poll() is None and len(list(parts.glob("*.safetensors"))) < 3:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert parts.is_dir() and not resumed.exists()

    told = json.loads(csm(*arguments[1:], "--json").stdout)
    assert sum(u["ended"] == "resumed" for u in told["utterances"]) >= 3
    assert resumed.read_bytes() == whole.read_bytes()
    assert not parts.exists()
