# SPDX-License-Identifier: Apache-2.0
"""csm.mark and csm.detect."""

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
