# SPDX-License-Identifier: Apache-2.0
"""csm.mark and csm.detect."""

import threading

import numpy as np
import pytest

import csm

RATE = 24000
KEY = bytes(range(32))


@pytest.fixture(scope="module")
def sound():
    random = np.random.default_rng(1)
    return (0.1 * random.standard_normal(5 * RATE)).astype(np.float32)


def test_a_mark_is_found_with_its_payload(sound):
    payload = csm.Payload(maker=1, model=0xbeef, free_bits=42)
    marked = csm.mark(sound, payload=payload)
    found = csm.detect(marked)
    assert found and found.p_value <= 1e-5 and found.found[0].payload == payload
    assert marked.dtype == np.float32 and 0 < np.abs(marked - sound).max() < 0.1
    assert not csm.detect(sound)


def test_another_key_finds_nothing(sound):
    marked = csm.mark(sound, key=KEY)
    assert csm.detect(marked, key=KEY) and not csm.detect(marked)


def test_a_detector_takes_any_rate(sound):
    marked = csm.mark(sound)
    at = np.arange(0, len(marked) - 1, RATE / 44100)
    assert csm.detect(np.interp(at, np.arange(len(marked)), marked), rate=44100)


def test_streamed_is_whole(sound):
    marker = csm.Marker()
    pieces = [marker.push(sound[i:i + 1920]) for i in range(0, len(sound), 1920)]
    assert (np.concatenate(pieces) == csm.mark(sound)).all()


@pytest.mark.parametrize("arguments, message", [({"rate": 44100}, "44100"), ({"key": b"short"}, "32 bytes")])
def test_wrong_arguments_are_named(sound, arguments, message):
    with pytest.raises(ValueError, match=message):
        csm.mark(sound, **arguments)


def test_integers_count_by_their_full_scale(sound):
    whole = (sound * 32767).astype(np.int16)
    floats = whole.astype(np.float32) / 32768
    assert (csm.mark(whole) == csm.mark(floats)).all()
    assert (csm.Marker().push(whole) == csm.mark(floats)).all()
    assert (csm.Marker().push(floats.astype(">f4")) == csm.mark(floats)).all()
    assert csm.detect((csm.mark(whole) * 32767).astype(np.int16))


@pytest.mark.parametrize("wrong", [["1", "2"], np.ones(8, bool), np.ones(8, complex), None, b"abcd",
                                   np.ones(8, np.int64), np.ma.array(np.ones(8), mask=np.arange(8) > 3)])
def test_what_is_no_sound_is_refused_by_name(wrong):
    for take in csm.mark, csm.detect, csm.Marker().push, csm.Detector().push:
        with pytest.raises((TypeError, ValueError), match="^samples: "):
            take(wrong)


@pytest.mark.parametrize("arguments, message", [
    ({"rate": "24000"}, "^rate: "), ({"key": "k" * 32}, "^key: "), ({"maker": 256}, "^maker: "),
    ({"model": -1}, "^model: "), ({"free_bits": 1.5}, "^free_bits: ")])
def test_a_marker_names_what_is_wrong(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        csm.Marker(**arguments)


def test_threads_share_a_detector(sound):
    """None of what they push is lost: marked sound ends behind the 4 s of silence and its own 5."""
    detector = csm.Detector()
    threads = [threading.Thread(target=lambda: [detector.push(np.zeros(RATE // 10, np.float32)) for _ in range(10)])
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    detector.push(csm.mark(sound))
    (stretch,), _ = detector.result()
    assert abs(stretch[1] - 9) <= 0.01  # a sample's rounding of the window's end


def test_stereo_is_refused(sound):
    with pytest.raises(ValueError, match="mono"):
        csm.detect(np.stack([sound, sound]))


def test_credentials_refuse_by_name(tmp_path, monkeypatch):
    """What they sign: tests/server/test_credentials.py, where C2PA's own reader is."""
    monkeypatch.setenv("CSM_C2PA", str(tmp_path / "nothing.so"))
    pem = tmp_path / "a.pem"
    with pytest.raises(OSError, match="a.pem"):
        csm.Credentials(pem, pem)
    pem.write_text("no certificate")
    with pytest.raises((csm.EngineError, ValueError), match="^c2pa: "):
        csm.Credentials(pem, pem)
