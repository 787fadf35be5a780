# SPDX-License-Identifier: Apache-2.0
"""Voices, streaming, dialogues and long texts, through the command, with the embedded voice."""

import fcntl
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


def test_a_dry_run_prints_what_would_be_spoken(csm, tmp_path):
    text = "# News\n\n- *One* costs $5K.\n- Two<break time='300ms'/>ends."
    done = csm("generate", "--dry-run", "--text", text)
    assert done.stdout == "News.\nOne costs five thousand dollars.\nTwo\n[pause 300 ms]\nends.\n"
    assert csm("generate", "--dry-run", "--no-normalize", "--whole", "--text", text).stdout == text + "\n"
    script = tmp_path / "script.txt"
    script.write_text("[0] Hi **you**.\n[1] Wait <break/> now.\n")
    done = csm("generate", "--dry-run", "--script", script)
    assert done.stdout == "[0] Hi you.\n[1] Wait\n[pause 500 ms]\n[1] now.\n"
    done = csm("generate", "--dry-run", "--script", script, "--per-turn", "--output", tmp_path / "x.wav")
    assert done.stdout == "[0] Hi you.\n[1] Wait, now.\n" and "pauses are commas" in done.stderr


def test_a_pause_is_so_much_silence(csm, tmp_path):
    out = tmp_path / "out.wav"
    told = json.loads(csm("generate", "--text", "<break time='250ms'/>Yes.<break time='1s'/>No.<break "
                          "time='400ms'/>", "--output", out, "--json").stdout)
    sound, rate = soundfile.read(out)
    assert [u["text"] for u in told["utterances"]] == ["Yes.", "No."]
    assert len(sound) == round((told["seconds"] + 0.25 + 1 + 0.4) * rate)
    assert np.all(sound[:rate // 4] == 0) and np.all(sound[-rate * 2 // 5:] == 0)


def test_letters_that_the_voice_has_not_learned_are_told(csm):
    done = csm("generate", "--text", "Say \u65e5\u672c\u8a9e.", "--dry-run")
    assert done.stdout == "Say \u65e5\u672c\u8a9e.\n" and "3 letters are not Latin (the first is Han)" in done.stderr
    assert csm("generate", "--text", "Gr\u00fc\u00dfe, caf\u00e9.", "--dry-run").stderr == ""


@pytest.mark.parametrize("text, told", [("It is \u03c0, about 3.", []), ("\u03bb and \u03c0", []), ("One \u30c4.", ["1 letter is not Latin"]),
                                        ("\u30c4\u30c4", ["2 letters are not Latin"])])
def test_letters_that_become_words_are_spoken(csm, text, told):
    done = csm("generate", "--text", text, "--dry-run")
    assert [w for w in ["1 letter is not Latin", "2 letters are not Latin"] if w in done.stderr] == told
    assert ("not Latin" in csm("generate", "--text", text, "--dry-run", "--no-normalize").stderr)


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


def test_a_slow_reader_loses_nothing(build_dir, speech):
    """Through a pipe that does not block its writer, too."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text", "Hello there.",
                                "--seed", "3", "--output", "-", "--format", "s16le"],
                               stdout=writing)
    os.close(writing)
    received = b""
    while piece := os.read(reading, 1000):
        received += piece
        time.sleep(0.002)
    os.close(reading)
    assert process.wait() == 0 and received == speech.read_bytes()[44:]


@pytest.mark.parametrize("form", ["wav", "s16le", "f32le"])
def test_a_full_disk_is_told_once(build_dir, form):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([build_dir / "bin" / "csm", "generate", "--text", TEXT, "--output",
                               "-", "--format", form], stdout=full, stderr=subprocess.PIPE,
                              text=True)
    assert done.returncode == 3
    assert done.stderr == "csm: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("more", [[], ["--batch", "3"]])
def test_an_interrupt_leaves_no_file_behind(build_dir, tmp_path, more):
    process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text", TEXT * 60,
                                "--output", tmp_path / "out.wav", *more])
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)  # SIGINT may be one that the parent wants ignored
    assert process.wait() == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_ends_the_command(build_dir):
    process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text", TEXT,
                                "--output", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(timeout=60) in (3, -signal.SIGPIPE)


def test_a_speaker_of_the_model_is_a_voice(csm, tmp_path):
    out = tmp_path / "a.wav", tmp_path / "b.wav"
    csm("generate", "--text", "One more.", "--voice", "awb", "--output", out[0])
    csm("generate", "--text", "One more.", "--speaker", 2, "--output", out[1])
    assert out[0].read_bytes() == out[1].read_bytes()


def test_a_voice_is_added_used_and_removed(csm, speech, voices, tmp_path):
    add = ["voice", "add", "anna", "--audio", speech, "--text", "Hello there."]
    assert csm(*add, env=voices).stderr == ""
    assert csm(*add, env=voices).stderr == "csm: voice 'anna': the recording of before is replaced\n"
    assert [line.split()[0] for line in csm("voice", "list", env=voices).stdout.splitlines()] == [
        "rms", "slt", "awb", "kal16", "anna"]
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
    (["voice", "list", "bob"], 2, "list: expected no name"),
    (["voice", "list", "--audio", "{speech}"], 2, "of add"),
    (["voice", "list", "--text", "y"], 2, "of add"),
    (["voice", "remove", "bob", "--speaker", "0"], 2, "of add"),
    (["voice", "remove", "bob", "--model-path", "."], 2, "--model-path"),
    (["voice", "add", "--audio", "{speech}", "--text", "y", "--", "-bob"], 2, "- (not first)"),
    (["voice", "add", "slt", "--audio", "{speech}", "--text", "y"], 2, "slt"),
    (["voice", "add", "bob", "--audio", "{speech}", "--text", " "], 2, "text"),
    (["voice", "add", "bob", "--audio", "{speech}", "--text", "y", "--speaker", "-1"], 2,
     "--speaker"),
    (["generate", "--text", "x", "--voice", "nobody"], 2, "nobody"),
    (["generate", "Hello", "--output", "x.wav"], 2, "'Hello': an argument that is no option"),
    (["generate", "--text", "Hello", "there"], 2, "'there': an argument that is no option"),
    (["info", "a", "--model-path", "b"], 2, "expected one"),
    (["generate", "--text", " \n", "--output", "x.wav"], 2, "--text"),
    (["generate", "--text", "\U0001f642", "--output", "x.wav"], 3, "nothing to say"),
    (["generate", "--text", "x", "--speaker", "-1"], 2, "--speaker"),
    (["generate", "--text", "x", "--context-audio", "{speech}"], 2, "--context-text"),
    (["generate", "--text", "x", "--context-audio", "{speech}", "--context-text", ""], 2, "text"),
    (["generate", "--text", "x", "--context-audio", "{speech}", "--context-text", "y",
      "--context-speaker", "-1"], 2, "--context-speaker"),
    (["generate", "--text", "x", "--batch", "4", "--whole"], 2, "--batch"),
    (["generate", "--text", "x", "--output", "none", "--resume"], 2, "--output"),
    (["generate", "--text", "x", "--guard", "--no-guard"], 2, "--guard"),
    (["generate", "--text", "x", "--min-audio-length-ms", "20000", "--max-audio-length-ms",
      "10000"], 2, "--min-audio-length-ms"),
    (["generate", "--text", "x", "--format", "wma"], 2, "wma"),
])
def test_wrong_use_is_told(csm, speech, voices, tmp_path, arguments, code, says):
    arguments = [a.replace("{speech}", str(speech)) for a in arguments]
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


def test_names_are_cast(csm, speech, voices, tmp_path):
    script = tmp_path / "script.txt"
    script.write_text("[Alice] Hello.\n[slt] Hi.\n[Bob] Well. [Alice] Fine.\n[0] End.\n")
    csm("voice", "add", "anna", "--audio", speech, "--text", "Hello there.", env=voices)

    def told(*more, **kind):
        done = csm("generate", "--script", script, "--output", "none", "--json", *more, env=voices, **kind)
        return [(u["speaker"], u["text"]) for u in json.loads(done.stdout)["utterances"]]

    # slt is speaker 1 of the model, 0 stands in the script: the recording becomes 2.
    assert told("--cast", "Alice=anna", "--cast", "Bob=3") == [
        (2, "Hello."), (1, "Hi."), (3, "Well."), (2, "Fine."), (0, "End.")]
    dry = csm("generate", "--script", script, "--dry-run")
    assert dry.stdout == "[Alice] Hello.\n[slt] Hi.\n[Bob] Well.\n[Alice] Fine.\n[0] End.\n"
    for more, says in (((), "[Alice]: expected a speaker's number"),
                       (("--cast", "Alice=nobody", "--cast", "Bob=1"), "nobody"),
                       (("--cast", "Alice"), "expected NAME=VOICE"),
                       (("--cast", "Carol=1"), "'Carol' speaks no line"),
                       (("--cast", "Alice=1", "--cast", "Alice=2"), "cast twice")):
        done = csm("generate", "--script", script, "--output", "none", *more, env=voices, check=False)
        assert done.returncode == 2 and says in done.stderr
    done = csm("generate", "--text", "x", "--cast", "A=1", check=False)
    assert done.returncode == 2 and "--cast with --text" in done.stderr


def test_a_cast_recording_sounds_as_the_voice_does(csm, speech, voices, tmp_path):
    csm("voice", "add", "anna", "--audio", speech, "--text", "Hello there.", env=voices)
    script = tmp_path / "script.txt"
    script.write_text("[Alice] Good morning to you.\n")
    csm("generate", "--script", script, "--cast", "Alice=anna", "--per-turn", "--output", tmp_path / "a.wav",
        env=voices)
    csm("generate", "--text", "Good morning to you.", "--voice", "anna", "--output", tmp_path / "b.wav", env=voices)
    assert (tmp_path / "a-001.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("line", ["[0]", "[0]  ", "[0] \U0001f642", "[0] <br/>"])
def test_a_turn_without_words_is_told(csm, tmp_path, line):
    (tmp_path / "s").write_text(f"[1] Hello.\n{line}\n[1] Bye.\n")
    for more in [], ["--dry-run"]:
        done = csm("generate", "--script", tmp_path / "s", "--output", tmp_path / "a.wav", *more)
        assert "csm: --script: line 2: [0] says nothing: left out\n" in done.stderr


def test_a_colon_behind_a_speaker_is_not_said(csm, tmp_path):
    (tmp_path / "s").write_text("[Alice]: Hello.\n[0] :) Well.\n")
    done = csm("generate", "--script", tmp_path / "s", "--cast", "Alice=1", "--no-normalize", "--dry-run")
    assert done.stdout == "[Alice] Hello.\n[0] :) Well.\n"


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


def test_a_batch_of_any_size_is_the_same_sound(csm, tmp_path):
    text = TEXT + " Here is one more sentence, and it is the longest. No."
    sounds = []
    for n in 1, 3, 50:
        out = tmp_path / f"{n}.wav"
        told = json.loads(csm("generate", "--text", text, "--seed", 8, "--batch", n, "--output",
                              out, "--json").stdout)
        assert [u["text"] for u in told["utterances"]][-1] == "No."
        sounds.append(out.read_bytes())
    assert sounds[0] == sounds[1] == sounds[2]
    # The first sentence has no other before it: it is what it is alone.
    csm("generate", "--text", "Hello there.", "--seed", 8, "--output", tmp_path / "alone.wav")
    n = len((tmp_path / "alone.wav").read_bytes()) - 480  # but for the 10 ms that fade
    assert sounds[0][44:n] == (tmp_path / "alone.wav").read_bytes()[44:n]


def test_a_dialogue_longer_than_the_model_drops_its_oldest_turns(csm, tmp_path):
    script = tmp_path / "script.txt"
    # A byte is a position of the embedded voice: ten turns are more than its 2,048.
    script.write_text("".join(f"[{i % 2}] {'And so it went on. ' * 12}\n" for i in range(10)))
    done = csm("generate", "--script", script, "--output", "none", "--max-audio-length-ms", "400")
    assert "no longer fit and were dropped" in done.stderr


def test_parts_of_another_job_are_not_taken(csm, tmp_path, build_dir):
    """What is left of a run counts only where all that it depends on is the same."""
    sentences = [f"This is sentence number {i}." for i in range(1, 5)]
    out = tmp_path / "out.wav"

    def speak(text, *more):
        told = json.loads(csm("generate", "--text", text, "--output", out, "--resume", "--json",
                              *more).stdout)
        return [u["ended"] == "resumed" for u in told["utterances"]]

    def interrupt_after(n):
        process = subprocess.Popen([build_dir / "bin" / "csm", "generate", "--text",
                                    " ".join(sentences) + " And more." * 200, "--output", out,
                                    "--resume"])
        parts = tmp_path / "out.wav.parts"
        while len(list(parts.glob("*.safetensors"))) < n:
            time.sleep(0.005)
        process.kill()
        process.wait()

    interrupt_after(4)
    changed = [*sentences]
    changed[2] = "This one is different."
    # The fourth had the third as context.
    assert speak(" ".join(changed)) == [True, True, False, False]
    assert not (tmp_path / "out.wav.parts").exists()
    for more in ["--seed", "1"], ["--temperature", "0.5"], ["--speaker", "1"]:
        interrupt_after(4)
        assert speak(" ".join(sentences), *more) == [False] * 4
    interrupt_after(4)
    # In a batch the first sentence, which has none before it, has the same context.
    assert speak(" ".join(sentences), "--batch", "2") == [True, False, False, False]


@pytest.mark.parametrize("more", [[], ["--batch", "2"]])
def test_an_interrupted_job_goes_on_to_the_same_file(csm, tmp_path, build_dir, more):
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"This is sentence number {i}." for i in range(1, 9)))
    whole, resumed = tmp_path / "whole.wav", tmp_path / "resumed.wav"
    csm("generate", "--text-file", text, "--output", whole, "--seed", 5, *more)

    arguments = [build_dir / "bin" / "csm", "generate", "--text-file", text, "--output", resumed,
                 "--seed", "5", "--resume", *more]
    process = subprocess.Popen(list(map(str, arguments)))
    parts = tmp_path / "resumed.wav.parts"
    while process.poll() is None and len(list(parts.glob("*.safetensors"))) < 3:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert parts.is_dir() and not resumed.exists()
    (parts / "00007.safetensors.4711-0.part").write_bytes(b"half")  # as a kill in the middle leaves

    told = json.loads(csm(*arguments[1:], "--json").stdout)
    assert sum(u["ended"] == "resumed" for u in told["utterances"]) >= 3
    assert resumed.read_bytes() == whole.read_bytes()
    assert not parts.exists()
