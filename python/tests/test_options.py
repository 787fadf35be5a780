# SPDX-License-Identifier: Apache-2.0
"""The command's options in Python: honoured as the command does, refused by name."""

import warnings

import numpy as np
import pytest

import csm

TEXT = "One two. It costs $5. Wait <break time='300ms'/> here."


@pytest.fixture(scope="module")
def model(model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    folder.mkdir()
    for file in model_dir.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    (folder / "voices.json").write_text(
        '{"voices": [{"name": "anna", "speaker": 0}, {"name": "ben", "speaker": 1}]}')
    with csm.Model.from_pretrained(folder, engine="native", threads=1) as opened:
        opened.folder = folder
        yield opened


def said(model, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", csm.SpeechWarning)
        return model.speak(*arguments, **{"max_audio_length_ms": 400} | options)


SETTINGS = {"top_p": 0.4, "min_p": 0.3, "depth_top_p": 0.5, "depth_min_p": 0.2,
            "depth_temperature": 0.4, "depth_topk": 4, "temperature": 0.5, "topk": 5}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_reaches_the_draws(model, name):
    speech = said(model, "Hi.", seed=3, **{name: SETTINGS[name]})
    key = {"topk": "top_k", "depth_topk": "depth_top_k"}.get(name, name)
    assert speech.report[key] == SETTINGS[name]
    assert not np.array_equal(speech.tokens, said(model, "Hi.", seed=3).tokens)


@pytest.mark.parametrize("options", [
    [], ["--sentences"], ["--sentences", "--normalize"], ["--normalize", "--whole"],
    ["--seed", "-1", "--sentences"], ["--top-p", "0.5", "--min-audio-length-ms", "240"],
    ["--voice", "ben"], ["--sentences", "--voice", "ben", "--guard", "--depth-topk", "3"]])
def test_generate_is_the_command(model, csm_command, tmp_path, options):
    import soundfile

    csm_command("generate", "--model-path", model.folder, "--text", TEXT, "--threads", 1,
                "--max-audio-length-ms", 480, "--output", tmp_path / "a.wav", "--format", "wav-f32",
                *options)
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    given, items = {}, iter(options)
    for item in items:
        name = item.removeprefix("--").replace("-", "_")
        if name in ("sentences", "normalize", "guard"):
            given[name] = True
        elif name != "whole":
            value = next(items)
            given[name] = value if name == "voice" else float(value) if "." in value else int(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", csm.SpeechWarning)
        audio = model.generate(TEXT, max_audio_length_ms=480, **given)
        frames = list(model.stream(TEXT, max_audio_length_ms=480, **given))
    assert np.array_equal(audio, expected)
    assert np.array_equal(np.concatenate([f.samples for f in frames]), expected)
    assert [f.index for f in frames] == list(range(len(frames)))


def test_a_random_seed_is_told_and_gives_the_same_again(model):
    first, other = said(model, "Hi.", seed="random"), said(model, "Hi.", seed="random")
    assert first.report["seed"] != other.report["seed"]
    again = said(model, "Hi.", seed=first.report["seed"])
    assert np.array_equal(first.tokens, again.tokens)


def test_the_limit_follows_the_text(model):
    short = said(model, "Hi.", max_audio_length_ms=None)
    long = said(model, "Say this, and then say that, " * 4, max_audio_length_ms=None)
    n = len("Say this, and then say that, " * 4)
    assert len(short.tokens) <= 125 < len(long.tokens) <= 100 + n * 5 // 2
    assert long.report["warnings"][0].startswith("cut: ")


@pytest.mark.parametrize(("options", "code"), [
    ({"max_audio_length_ms": 160}, "cut"), ({"normalize": True}, "unspoken-thoughts"),
    ({"speaker": 7}, "unknown-speaker"),
    ({"context": [csm.Segment(1, "y", codes=np.zeros((3, 8), int))]}, "other-speaker")])
def test_what_does_not_come_out_as_asked_is_warned_of(model, options, code):
    text = "<think>Well.</think>Hi." if "normalize" in options else "Hi."
    with pytest.warns(csm.SpeechWarning) as told:
        speech = model.speak(text, **{"max_audio_length_ms": 160} | options)
    assert code in [w.message.code for w in told] and told[0].filename == __file__
    assert any(line.startswith(code + ": ") for line in speech.report["warnings"])


@pytest.mark.parametrize(("options", "says"), [
    ({"speaker": -1}, "speaker"), ({"top_p": 0}, "top_p"), ({"top_p": -1}, "top_p"),
    ({"min_p": 1.5}, "min_p"), ({"depth_top_p": 2}, "depth_top_p"),
    ({"depth_min_p": float("nan")}, "depth_min_p"), ({"depth_topk": -1}, "depth_topk"),
    ({"depth_temperature": -2147483648}, "depth_temperature"), ({"topk": -2147483648}, "topk"),
    ({"voice": "nobody"}, "nobody"), ({"voice": "ben", "speaker": 0}, "voice"),
    ({"min_audio_length_ms": -1}, "min_audio_length_ms"),
    ({"min_audio_length_ms": 900, "max_audio_length_ms": 800}, "min_audio_length_ms"),
    ({"context": [csm.Segment(0, " ", codes=[[0] * 8])]}, "context: text"),
    ({"context": [csm.Segment(-1, "y", codes=[[0] * 8])]}, "speaker")])
def test_stand_ins_and_nonsense_are_refused_by_name(model, options, says):
    for call in model.generate, model.stream, model.speak:
        with pytest.raises(ValueError, match=says):
            call("Hi.", **options)


@pytest.mark.parametrize("name", ["sentences", "normalize", "guard"])
def test_switches_are_true_or_false(model, name):
    with pytest.raises(TypeError, match=name):
        model.generate("Hi.", **{name: 1})


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused(model, text):
    for call in model.generate, model.stream, model.speak:
        with pytest.raises(ValueError, match="text: empty"):
            call(text)


def test_a_text_of_which_nothing_is_spoken_is_refused(model):
    with pytest.raises(ValueError, match="text: nothing to say"):
        model.generate("\U0001f642", normalize=True)


def test_speak_is_one_utterance(model):
    with pytest.raises(ValueError, match="sentences"):
        model.speak(TEXT, sentences=True)


def test_an_adapter_is_merged(model, tmp_path, model_dir):
    with pytest.raises((OSError, ValueError), match="nowhere"):
        csm.Model(model_dir, adapter=tmp_path / "nowhere")
    with pytest.raises(TypeError, match="adapter"):
        csm.Model(model_dir, adapter=3)
