# SPDX-License-Identifier: Apache-2.0
"""csm generate --mark and csm detect, with the embedded voice."""

import json

import pytest
import soundfile

TEXT = "Hello there. This is a small voice of our own, made to try the mark."


def speak(csm, out, *options):
    csm("generate", "--text", TEXT, "--seed", 3, "--output", out, *options)
    return soundfile.read(out, dtype="int16")[0]


@pytest.fixture(scope="module")
def files(csm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mark")
    (folder / "key").write_text("0123456789abcdef" * 4 + "\n")
    speak(csm, folder / "plain.wav")
    speak(csm, folder / "marked.wav", "--mark")
    speak(csm, folder / "private.wav", "--mark", "--mark-key", folder / "key")
    return folder


def test_what_is_marked_is_told_with_the_model(csm, files):
    told = json.loads(csm("detect", files / "marked.wav", "--json").stdout)["files"][0]
    digest = json.loads(csm("info", "--json").stdout)["digest"]
    assert told["marked"] and told["p_value"] <= 1e-5
    assert told["found"][0]["payload"] == {"maker": 1, "model": int(digest[:4], 16), "free_bits": 0}


def test_exit_codes_tell_marked_not_marked_and_not_readable(csm, files):
    assert csm("detect", files / "marked.wav").returncode == 0
    assert csm("detect", files / "marked.wav", files / "plain.wav", check=False).returncode == 1
    done = csm("detect", files / "none.wav", files / "marked.wav", check=False)
    assert done.returncode == 3 and "marked.wav: marked" in done.stdout
    assert csm("detect", check=False).returncode == 2


def test_a_private_key_hides_the_mark_from_others(csm, files):
    assert csm("detect", files / "private.wav", check=False).returncode == 1
    assert csm("detect", files / "private.wav", "--mark-key", files / "key").returncode == 0
    wrong = csm("detect", files / "private.wav", "--mark-key", files / "plain.wav", check=False)
    assert wrong.returncode == 3


def test_the_mark_is_quiet_and_its_absence_exact(csm, files, tmp_path):
    plain = soundfile.read(files / "plain.wav", dtype="int16")[0]
    marked = soundfile.read(files / "marked.wav", dtype="int16")[0]
    assert len(plain) == len(marked)
    assert (speak(csm, tmp_path / "again.wav") == plain).all()
    difference = (marked.astype(float) - plain).std() / plain.astype(float).std()
    assert 10 ** (-32 / 20) < difference < 10 ** (-20 / 20)


def test_tags_tell_that_it_is_generated(files):
    with soundfile.SoundFile(files / "marked.wav") as sound:
        assert sound.comment == "AI-generated" and sound.software.startswith("csm ")
    with soundfile.SoundFile(files / "plain.wav") as sound:
        assert sound.comment == ""


def test_decoded_tokens_are_marked_when_asked(csm, tmp_path):
    csm("generate", "--text", TEXT, "--save-tokens", tmp_path / "t.safetensors", "--output", "none")
    csm("generate", "--from-tokens", tmp_path / "t.safetensors", "--mark", "--output",
        tmp_path / "t.wav")
    assert csm("detect", tmp_path / "t.wav").returncode == 0


# Bit rates are the command's own for each format; --sample-rate resamples what was marked.
@pytest.mark.parametrize("name", ["m.mp3", "m.opus", "m.ogg", "m.flac", "m.wav"])
def test_the_mark_outlives_each_format(csm, tmp_path, name):
    rate = ["--sample-rate", 16000] if name.endswith((".flac", ".wav")) else []
    csm("generate", "--text", TEXT, "--mark", "--output", tmp_path / name, *rate)
    told = json.loads(csm("detect", tmp_path / name, "--json").stdout)["files"][0]
    assert told["marked"] and told["found"][0]["payload"]["maker"] == 1
    if name != "m.wav":
        with soundfile.SoundFile(tmp_path / name) as sound:
            assert sound.comment == "AI-generated"


@pytest.mark.parametrize("ms", [80, 160, 240, 400])
def test_sound_too_short_for_its_mark_is_told(csm, tmp_path, ms):
    tokens = tmp_path / "t.safetensors"
    speech = ["--text", TEXT, "--seed", 1, "--max-audio-length-ms", ms, "--whole", "--mark", "--quiet"]
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "text": TEXT, "seed": 1}) + "\n")
    synth = csm("synth", "--manifest", tmp_path / "in.jsonl", "--output-dir", tmp_path / "o", *speech[4:6], "--mark", "--quiet")
    done = csm("generate", *speech, "--output", tmp_path / "a.wav", "--json")
    csm("generate", *speech[:-2], "--output", "none", "--save-tokens", tokens)
    decoded = csm("generate", "--from-tokens", tokens, "--mark", "--output", tmp_path / "b.wav")
    is_found = csm("detect", tmp_path / "a.wav", check=False).returncode == 0
    assert is_found == (ms >= 240)
    assert is_found != ("too short for their mark" in done.stderr) and is_found != ("too short for their mark" in decoded.stderr)
    warnings = [w.split(":")[0] for w in json.loads(done.stdout)["warnings"]]
    assert is_found != ("short-mark" in warnings)
    line = json.loads((tmp_path / "o" / "manifest.jsonl").read_text())
    assert is_found != ("short-mark" in line.get("warnings", [])) and synth.stderr == ""
