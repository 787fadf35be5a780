# SPDX-License-Identifier: Apache-2.0
"""What does not come out as asked: one line on standard error, an entry of --json."""

import json
import struct
import wave

import numpy as np
import pytest

from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"
SAY = ["generate", "--model-path", CSM_A, "--text", "Hi.", "--output", "none", "--json"]
SHORT = ["--max-audio-length-ms", "160"]
RATE = 24000


def write_wav(path, *channels, rate_hz=RATE):
    samples = np.stack(channels, 1)
    with wave.open(str(path), "wb") as w:
        w.setparams((samples.shape[1], 2, rate_hz, 0, "NONE", ""))
        w.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def write_floats(path, samples):
    data = samples.astype("<f4").tobytes()
    path.write_bytes(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3,
                                 1, RATE, 4 * RATE, 4, 32, b"data", len(data)) + data)


def tone(seconds=1.0, gain=0.3):
    t = np.arange(int(seconds * RATE)) / RATE
    return gain * np.sin(2 * np.pi * 200 * t)


def warned(done, code):
    """The warning of that code, which stands on standard error too."""
    text = next(w.removeprefix(code + ": ") for w in json.loads(done.stdout)["warnings"]
                if w.startswith(code + ": "))
    assert f"csm: {text}" in done.stderr
    return text


def codes_of(done):
    return [w.split(":")[0] for w in json.loads(done.stdout)["warnings"]]


@pytest.mark.parametrize("ms", [80, 400, 2000])
def test_speech_that_is_cut_says_so_and_how_to_allow_more(csm, ms):
    done = csm(*SAY, "--quiet", "--max-audio-length-ms", ms)
    assert f"{ms / 1000:.2f} s" in warned(done, "cut")
    assert "--max-audio-length-ms" in done.stderr


@pytest.mark.parametrize("text", ["Hi.", "A text that is somewhat longer than that. " * 3,
                                  "\u00e9t\u00e9 \u4e2d\u6587, " * 12])
def test_the_limit_follows_the_text(csm, text):
    done = csm("generate", "--model-path", CSM_A, "--text", text, "--output", "none", "--json")
    # csm-a has random weights and does not end: 8 s and 0.2 s a character, at least 10 s.
    assert json.loads(done.stdout)["frames"] == max(125, 100 + len(text) * 5 // 2)


def test_in_a_batch_each_has_the_limit_of_its_text(csm):
    text = "Hi. " + "Say this, then say that, and this" * 3 + "."
    done = csm("generate", "--model-path", CSM_A, "--text", text, "--output", "none", "--json",
               "--batch", "2")
    assert [u["frames"] for u in json.loads(done.stdout)["utterances"]] == [
        125, 100 + len(text[4:]) * 5 // 2]
    assert codes_of(done) == ["cut", "cut"]


@pytest.mark.parametrize("options, codes", [(["--normalize"], ["unspoken-thoughts"]), ([], [])])
def test_what_a_model_thought_is_left_out_and_told(csm, options, codes):
    done = csm(*SAY[:3], "--text", "<think>Well.</think>Yes.", *SAY[5:], *SHORT, *options)
    assert codes_of(done) == [*codes, "cut"]
    if codes:
        assert "<think>" in warned(done, codes[0])


@pytest.mark.parametrize("n", [40, 3, 124])
def test_a_shorter_limit_of_the_model_counts(csm, tmp_path, n):
    for file in CSM_A.iterdir():
        if file.is_file() and file.name != "generation_config.json":
            (tmp_path / file.name).symlink_to(file)
    settings = json.loads((CSM_A / "generation_config.json").read_text()) | {"max_new_tokens": n}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    done = csm("generate", "--model-path", tmp_path, "--text", "Hello there my friend", "--output",
               "none", "--json")
    assert json.loads(done.stdout)["frames"] == n and codes_of(done) == ["cut"]


@pytest.mark.parametrize("text", ["Hi.", "Good morning.", "To be."])
def test_speech_that_the_guard_ends_says_why(csm, text):
    # 6 s more than the text takes at 5 bytes a second, before the limit: csm-a does not end.
    done = csm("generate", "--model-path", CSM_A, "--text", text, "--output", "none", "--json",
               "--guard", "--quiet")
    assert "longer than its text" in warned(done, "guarded") and codes_of(done) == ["guarded"]
    assert json.loads(done.stdout)["frames"] == 75 + len(text) * 5 // 2 + 1


@pytest.fixture(scope="module")
def silent_model(tmp_path_factory):
    """csm-a that ends at once: its greedy code is the end's everywhere."""
    folder = tmp_path_factory.mktemp("silent")
    for file in CSM_A.iterdir():
        if file.is_file() and file.name != "model.safetensors":
            (folder / file.name).symlink_to(file)
    raw = bytearray((CSM_A / "model.safetensors").read_bytes())
    n = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8:8 + n])
    for name in "lm_head.weight", "depth_decoder.codebooks_head.weight":
        start, end = header[name]["data_offsets"]
        raw[8 + n + start:8 + n + end] = bytes(end - start)
    (folder / "model.safetensors").write_bytes(raw)
    return folder


GREEDY = ["--temperature", "0", "--depth-temperature", "0"]


@pytest.mark.parametrize("more", [[], ["--quiet"], ["--sentences"], ["--batch", "2"]])
def test_no_sound_at_all_is_no_success(csm, tmp_path, silent_model, more):
    done = csm("generate", "--model-path", silent_model, "--text", "Hello. You.", "--json",
               "--output", tmp_path / "a.wav", *GREEDY, *more, check=False)
    assert done.returncode == 1
    assert "no sound" in warned(done, "no-sound") and "--seed" in done.stderr


def test_a_file_without_sound_among_others_is_no_success(csm, tmp_path, silent_model):
    (tmp_path / "script").write_text("[0] Hello.\n[1] You.\n")
    done = csm("generate", "--model-path", silent_model, "--script", tmp_path / "script", "--json",
               "--output", tmp_path / "a.wav", "--per-turn", *GREEDY, check=False)
    assert done.returncode == 1 and codes_of(done) == ["no-sound", "no-sound"]


def test_a_least_length_makes_it_speak(csm, silent_model):
    done = csm("generate", "--model-path", silent_model, "--text", "Hello.", "--json", "--output",
               "none", *GREEDY, "--min-audio-length-ms", "160", "--max-audio-length-ms", "240")
    assert "no-sound" not in codes_of(done)


@pytest.mark.parametrize("speaker", [4, 7, 1000000])
def test_a_speaker_that_the_voice_has_not_is_told(csm, speaker, monkeypatch, tmp_path):
    (tmp_path / "no-directory").write_bytes(b"")
    monkeypatch.setenv("CSM_VOICES", str(tmp_path / "no-directory"))  # recordings are no speakers
    done = csm("generate", "--text", "Hi.", "--speaker", speaker, "--output", "none", "--json",
               "--quiet", *SHORT)
    assert "0, 1, 2, 3" in warned(done, "unknown-speaker")
    for known in 0, 1, 2, 3:
        assert "unknown-speaker" not in codes_of(csm(
            "generate", "--text", "Hi.", "--speaker", known, "--output", "none", "--json", *SHORT))


def test_a_model_that_names_no_speaker_may_know_any(csm):
    assert codes_of(csm(*SAY, *SHORT, "--speaker", 9)) == ["cut"]


@pytest.mark.parametrize(("spoken", "asked"), [([1], []), ([1], ["--speaker", "2"]),
                                               ([0, 3], ["--speaker", "1"])])
def test_a_context_without_the_speaker_is_told(csm, spoken, asked):
    context = [a for s in spoken for a in ("--context-audio", CSM_A / "ctx0.wav", "--context-text",
                                           "How are you?", "--context-speaker", s)]
    done = csm(*SAY, *SHORT, *context, *asked)
    assert ", ".join(map(str, spoken)) in warned(done, "other-speaker")
    assert codes_of(csm(*SAY, *SHORT, *context, "--speaker", spoken[0])) == ["cut"]


def test_a_recording_that_was_too_loud_is_told_and_is_a_voice(csm, tmp_path):
    write_wav(tmp_path / "a.wav", np.clip(tone(gain=4), -1, 32767 / 32768))
    write_wav(tmp_path / "b.wav", tone(gain=1))
    for name, is_told in ("a.wav", True), ("b.wav", False):
        context = ["--context-audio", tmp_path / name, "--context-text", "How are you?"]
        done = csm(*SAY, *SHORT, *context)
        assert ("at full scale" in done.stderr) == is_told, done.stderr
        done = csm("voice", "add", name[0], "--audio", tmp_path / name, "--text", "How are you?",
                   env={"CSM_VOICES": str(tmp_path / "voices")})
        assert ("at full scale" in done.stderr) == is_told, done.stderr


QUIET = {"zeros": 0 * tone(), "hiss": np.random.default_rng(1).normal(0, 3e-4, RATE),
         "faint": tone(gain=1e-3), "one click": np.eye(1, RATE, 500)[0] * 0.01,
         "an offset": 0 * tone() + 0.4}


@pytest.mark.parametrize("name", QUIET)
def test_a_silent_recording_is_told_and_is_no_voice(csm, tmp_path, name):
    write_wav(tmp_path / "a.wav", QUIET[name])
    context = ["--context-audio", tmp_path / "a.wav", "--context-text", "How are you?"]
    assert "silent" in warned(csm(*SAY, *SHORT, *context), "silent-recording")
    done = csm("voice", "add", "quiet", "--audio", tmp_path / "a.wav", "--text", "How are you?",
               check=False, env={"CSM_VOICES": str(tmp_path / "voices")})
    assert done.returncode == 3 and "silent" in done.stderr


@pytest.mark.parametrize("sound", [tone(gain=3e-3), np.concatenate([0 * tone(5), tone(0.2)])])
def test_a_quiet_one_is_a_recording(csm, tmp_path, sound):
    write_wav(tmp_path / "a.wav", sound)
    assert codes_of(csm(*SAY, *SHORT, "--context-audio", tmp_path / "a.wav", "--context-text",
                        "Ah, here it is.")) == ["cut"]


@pytest.mark.parametrize(("n", "rate_hz"), [(100, 24000), (1919, 24000), (1, 8000), (600, 8000)])
def test_a_recording_shorter_than_a_frame_is_told_and_is_no_voice(csm, tmp_path, n, rate_hz):
    write_wav(tmp_path / "a.wav", tone()[:n] + 0.1, rate_hz=rate_hz)
    context = ["--context-audio", tmp_path / "a.wav", "--context-text", "How are you?"]
    assert "80 ms" in warned(csm(*SAY, *SHORT, *context), "short-recording")
    done = csm("voice", "add", "brief", "--audio", tmp_path / "a.wav", "--text", "How are you?",
               check=False, env={"CSM_VOICES": str(tmp_path / "voices")})
    assert done.returncode == 3 and "80 ms" in done.stderr


# 35 characters a second are too many, and those too few whose third of a second ends two before the sound does.
@pytest.mark.parametrize(("seconds", "n", "is_told"), [(1, 35, False), (1, 36, True), (4, 6, False), (4, 5, True),
                                                       (2.2, 1, False), (30, 84, False), (30, 83, True)])
def test_a_text_that_cannot_be_what_is_said_is_told(csm, tmp_path, seconds, n, is_told):
    write_wav(tmp_path / "a.wav", tone(seconds))
    text = "\u00e9" * n
    context = ["--context-audio", tmp_path / "a.wav", "--context-text", text]
    if seconds < 10:
        assert ("unlikely-text" in codes_of(csm(*SAY, *SHORT, *context))) == is_told
    done = csm("voice", "add", "v", "--audio", tmp_path / "a.wav", "--text", text,
               env={"CSM_VOICES": str(tmp_path / "voices")})
    assert (f"a text of {n} character" in done.stderr) == is_told


@pytest.mark.parametrize("channels", [
    (tone(), -tone()), (tone(), -0.9 * tone()), (tone(), tone(), -tone(), -tone())])
def test_channels_that_cancel_are_refused(csm, tmp_path, channels):
    write_wav(tmp_path / "a.wav", *channels)
    for line in (["voice", "add", "x", "--audio", tmp_path / "a.wav", "--text", "a"],
                 [*SAY, "--context-audio", tmp_path / "a.wav", "--context-text", "a"],
                 ["codec", "encode", tmp_path / "a.wav", tmp_path / "a.st"]):
        done = csm(*line, check=False, env={"CSM_VOICES": str(tmp_path / "voices")})
        assert done.returncode == 3 and "cancel" in done.stderr


@pytest.mark.parametrize("channels", [
    (tone(), 0 * tone()), (tone(), tone(gain=0.2)), (0 * tone(),) * 5 + (tone(),),
    tuple(np.random.default_rng(2).normal(0, 0.1, (2, RATE)))])
def test_ordinary_channels_are_not(csm, tmp_path, channels):
    write_wav(tmp_path / "a.wav", *channels)
    csm("codec", "encode", tmp_path / "a.wav", tmp_path / "a.st", "--model-path", CSM_A)


@pytest.mark.parametrize("gain", [8000, 40, -32768])
def test_floats_far_out_of_full_scale_are_refused(csm, tmp_path, gain):
    write_floats(tmp_path / "a.wav", tone() * gain)
    done = csm(*SAY, "--context-audio", tmp_path / "a.wav", "--context-text", "a", check=False)
    assert done.returncode == 3 and "expected -1 to 1" in done.stderr
    write_floats(tmp_path / "a.wav", tone() * 4)  # a loud master
    csm("codec", "encode", tmp_path / "a.wav", tmp_path / "a.st", "--model-path", CSM_A)


@pytest.mark.parametrize(("voice", "speaker"), [("slt", 0), ("awb", 7), ("rms", 1)])
def test_a_voice_of_the_model_is_not_spoken_as_another(csm, voice, speaker):
    done = csm("generate", "--text", "Hi.", "--voice", voice, "--speaker", speaker, "--output",
               "none", check=False)
    assert done.returncode == 2 and f"--voice {voice}" in done.stderr and "--speaker" in done.stderr
