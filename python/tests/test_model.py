# SPDX-License-Identifier: Apache-2.0
"""csm.Model: the small random model, held against what the library promises."""

import contextlib
import gc
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest

import csm
import csm.worker


@pytest.fixture(scope="module")
def model(model_dir):
    with csm.Model.from_pretrained(model_dir, engine="native") as opened:
        yield opened


def test_the_same_seed_gives_the_same_speech(model):
    first = model.speak("Hello.", seed=7, max_audio_length_ms=800, logits=True)
    again = model.speak("Hello.", seed=7, max_audio_length_ms=800)
    other = model.speak("Hello.", seed=8, max_audio_length_ms=800)
    n_frames, n_codebooks = first.tokens.shape
    assert n_codebooks == model.info["n_codebooks"] and n_frames == 10
    assert np.array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.tokens, other.tokens)
    assert first.audio.shape == (n_frames * 1920,) and first.audio.dtype == np.float32
    assert first.logits.shape == (n_frames, n_codebooks, model.info["vocab"])
    assert again.logits is None


def test_the_draws_are_those_of_a_sampler_fed_the_logits(model):
    speech = model.speak("Hello.", seed=7, max_audio_length_ms=400, logits=True, temperature=0.9,
                         topk=50, sampler="transformers", stream="torch-cpu")
    sampler = csm.Sampler("transformers", "torch-cpu", seed=7, temperature=0.9, top_k=50)
    for frame, logits in zip(speech.tokens, speech.logits):
        assert [sampler.draw(row)[0].item() for row in logits] == frame.tolist()


def test_a_stream_gives_what_generate_gives(model):
    frames = list(model.stream("Hello.", seed=3, max_audio_length_ms=800))
    whole = model.generate("Hello.", seed=3, max_audio_length_ms=800)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert np.array_equal(np.concatenate([frame.samples for frame in frames]), whole)


def test_greedy_has_no_seed(model):
    a, b = (model.speak("Hi.", seed=s, temperature=0, max_audio_length_ms=400) for s in (1, 2))
    assert np.array_equal(a.tokens, b.tokens)


def test_context_may_be_sound_or_codes(model):
    sound = (np.sin(np.arange(5000) / 7) / 3).astype(np.float32)
    codes = model.encode(sound)
    assert codes.shape == (3, model.info["n_codebooks"])
    of_sound = model.speak("Yes.", 0, [csm.Segment(1, "Well?", sound)], 400, seed=1)
    of_codes = model.speak("Yes.", 0, [csm.Segment(1, "Well?", codes=codes)], 400, seed=1)
    plain = model.speak("Yes.", 0, [], 400, seed=1)
    assert np.array_equal(of_sound.tokens, of_codes.tokens)
    assert not np.array_equal(of_sound.tokens, plain.tokens)


def test_sound_of_any_library_is_context(model):
    import mlx.core as mx
    import torch

    sound = (np.sin(np.arange(5000) / 7) / 3).astype(np.float32)
    kinds = [sound, torch.from_numpy(sound), mx.array(sound), sound.astype(np.float64).tolist()]
    spoken = [model.speak("Yes.", 0, [csm.Segment(1, "Well?", kind)], 400, seed=1).tokens
              for kind in kinds]
    assert all(np.array_equal(tokens, spoken[0]) for tokens in spoken)


def test_decode_turns_codes_into_what_was_heard(model):
    speech = model.speak("Hello.", seed=7, max_audio_length_ms=800)
    known = np.minimum(speech.tokens, model.info["n_entries"] - 1)
    if np.array_equal(known, speech.tokens):
        # Streamed and whole decoding differ in the order of sums alone.
        assert np.abs(model.decode(speech.tokens) - speech.audio).max() < 1e-5
    assert model.decode(known).shape == speech.audio.shape


def test_a_generation_keeps_its_model(model_dir):
    frames = csm.Model(model_dir, engine="native").stream("Hello.", max_audio_length_ms=400)
    gc.collect()
    assert len(list(frames)) == 5


def test_a_model_may_be_closed_while_another_thread_speaks(model_dir):
    for _ in range(20):
        model = csm.Model(model_dir, engine="native")

        def speak():
            try:
                while True:
                    model.encode(np.ones(4000, np.float32) / 8)
            except ValueError as error:
                assert "closed" in str(error)
                ended.append(True)

        ended = []
        thread = threading.Thread(target=speak)
        thread.start()
        model.close()
        thread.join()
        assert ended


def test_threads_speak_at_once_what_they_say_alone(model):
    def say(seed):
        return model.speak(f"Number {seed % 5}.", seed=seed, max_audio_length_ms=400)

    alone = [say(seed) for seed in range(16)]
    spoken = [None] * 16

    def speak(seed):
        spoken[seed] = say(seed)

    threads = [threading.Thread(target=speak, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, spoken):
        assert np.array_equal(one.tokens, other.tokens)
        assert np.array_equal(one.audio, other.audio)


def test_streams_are_read_in_turns(model):
    texts = ["One.", "Two words.", "And three words.", "Four."]
    alone = [[frame.codes.tolist() for frame in model.stream(text, max_audio_length_ms=400)]
             for text in texts]
    streams = [model.stream(text, max_audio_length_ms=400) for text in texts]
    together = list(zip(*streams, strict=True))
    assert [[frame.codes.tolist() for frame in one] for one in zip(*together)] == alone


@pytest.mark.parametrize(("call", "error", "names"), [
    (lambda m: m.generate(3), TypeError, "text"),
    (lambda m: m.generate("a\0b"), ValueError, "text"),
    (lambda m: m.generate("\ud800"), ValueError, "text"),
    (lambda m: m.generate("x", speaker="0"), TypeError, "speaker"),
    (lambda m: m.generate("x", temperature=-1), ValueError, "temperature"),
    (lambda m: m.generate("x", topk=-1), ValueError, "topk"),
    (lambda m: m.generate("x", seed="x"), TypeError, "seed"),
    (lambda m: m.generate("x", tempreature=1), TypeError, "tempreature"),
    (lambda m: m.generate("x", context=csm.Segment(0, "y")), TypeError, "context"),
    (lambda m: m.generate("x", context=[csm.Segment(0, "y", "z")]), TypeError, "context: audio"),
    (lambda m: m.generate("x", max_audio_length_ms=float("nan")), ValueError, "max_audio"),
    (lambda m: m.generate("x", max_audio_length_ms=1), ValueError, "max_audio_length_ms"),
    (lambda m: m.generate("x", temperature=-3.0), ValueError, "temperature"),
    (lambda m: m.generate("x", strategy="best"), ValueError, "strategy"),
    (lambda m: m.generate("x", stream="best"), ValueError, "stream"),
    (lambda m: m.generate("x", context=[csm.Segment(0, "y")]), ValueError, "context"),
    (lambda m: m.generate("x", context=[csm.Segment(0, "y", codes=[[1]])]), ValueError, "codes"),
    (lambda m: m.decode([[5000] * 8]), ValueError, "5000"),
    (lambda m: m.decode([1, 2]), ValueError, "codes"),
    (lambda m: m.decode([[1.5] * 8]), TypeError, "codes"),
    (lambda m: m.encode("x"), TypeError, "audio"),
    (lambda m: m.tokenize(3), TypeError, "text"),
    (lambda m: m.encode([np.nan]), ValueError, "finite"),
])
def test_bad_input_is_named(model, call, error, names):
    with pytest.raises(error, match=names):
        call(model)


def test_a_directory_that_is_no_model_is_refused(tmp_path):
    with pytest.raises((OSError, ValueError), match=tmp_path.name):
        csm.Model(tmp_path)


@pytest.mark.parametrize("path", ["a\0b", "a\udcffb"])
def test_a_path_that_no_text_is_is_refused_whole(model_dir, path):
    """Not as what stands before its NUL."""
    with pytest.raises(ValueError, match="^path: "):
        csm.Model(path)
    with pytest.raises(ValueError, match="^path: "):
        csm.Model(f"{model_dir}\0x")
    with pytest.raises(ValueError, match="^adapter: "):
        csm.Model(model_dir, adapter=path)
    with pytest.raises(TypeError, match="^speculate: "):
        csm.Model(model_dir, speculate="yes")


def test_all_names_are_listed():
    assert set(csm.__all__) <= set(dir(csm))


def test_a_closed_model_says_so(model_dir):
    model = csm.Model(model_dir)
    model.close()
    for call in (lambda: model.info, lambda: model.generate("x"), lambda: model.encode([0.0])):
        with pytest.raises(ValueError, match="closed"):
            call()
    model.close()


def in_a_fork(work):
    """What `work` printed in a fork of this process, which may not hang."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os.write(write, str(work()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    assert os.waitpid(child, 0)[1] == 0, "the fork hung"
    return text


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_model_is_refused_in_a_fork_and_another_speaks_there(model_dir):
    with csm.Model.from_pretrained(model_dir, engine="native", threads=2) as model:
        expected = model.generate("Hi.", seed=1, max_audio_length_ms=400)
        stream = model.stream("Hi.", seed=1, max_audio_length_ms=400)
        first = next(stream)

        def refused(call):
            with pytest.raises(ValueError, match="of which this one is a fork"):
                call()

        def of_the_parent():
            refused(lambda: model.generate("Hi."))
            refused(lambda: next(stream))
            refused(lambda: model.encode(expected))
            refused(lambda: model.decode(first.codes[None]))
            stream.close()
            model.close()
            return "refused"

        def of_its_own():
            with csm.Model.from_pretrained(model_dir, engine="native", threads=2) as own:
                return np.array_equal(own.generate("Hi.", seed=1, max_audio_length_ms=400), expected)

        assert in_a_fork(of_the_parent) == "refused"
        assert in_a_fork(of_its_own) == "True"
        rest = [frame.samples for frame in stream]  # the parent's goes on
        assert np.array_equal(np.concatenate([first.samples, *rest]), expected)


def test_a_stream_may_be_shared_and_closed(model_dir):
    with csm.Model.from_pretrained(model_dir, engine="native") as model:
        def begin():
            return model.stream("One two three four.", seed=3, max_audio_length_ms=4000,
                                min_audio_length_ms=4000)

        expected, taken, stream = [f.codes.tolist() for f in begin()], [], begin()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            readers = [threading.Thread(target=lambda: taken.extend(stream)) for _ in range(4)]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        assert [f.codes.tolist() for f in sorted(taken, key=lambda f: f.index)] == expected
        for block in contextlib.closing(begin()), begin():
            with block as stream:
                assert next(stream).index == 0
            assert list(stream) == [] and list(stream) == []
        long = model.stream("Hi. " * 20, seed=3, sentences=True, max_audio_length_ms=4000,
                            min_audio_length_ms=4000)
        reader = threading.Thread(target=lambda: taken.extend(long))
        reader.start()
        next(long)
        long.close()  # under its reader
        reader.join(20)
        assert not reader.is_alive() and list(long) == []


def test_a_warning_is_told_once_and_crosses_processes(model_dir):
    with csm.Model.from_pretrained(model_dir, engine="native") as model:
        for sentences in False, True:
            with pytest.warns(csm.SpeechWarning) as told:
                list(model.stream("Hi. You.", seed=3, max_audio_length_ms=80, sentences=sentences))
            assert [w.message.code for w in told] == ["cut"] * (1 + sentences)
        with pytest.warns(csm.SpeechWarning):
            speech = model.speak("Hi.", seed=3, max_audio_length_ms=80)
        assert len(speech.report["warnings"]) == 1
    again = pickle.loads(pickle.dumps(told[0].message))
    assert (type(again), again.code, str(again)) == (csm.SpeechWarning, "cut", str(told[0].message))
    died = pickle.loads(pickle.dumps(csm.worker.CommandDied("x", -9)))
    assert (str(died), died.returncode) == ("x", -9)
