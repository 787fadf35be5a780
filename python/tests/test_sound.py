# SPDX-License-Identifier: Apache-2.0
"""Sound as people have it: each kind of array gives the codes of the floats it stands for."""

import numpy as np
import pytest

import csm


@pytest.fixture(scope="module")
def model(model_dir):
    with csm.Model.from_pretrained(model_dir, engine="native") as opened:
        yield opened


def tone(n=24000, hz=220, rate_hz=24000):
    t = np.arange(n) / rate_hz
    return (0.4 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(7 * t)) / 2).astype(np.float32)


X = tone()


@pytest.mark.parametrize("audio", [
    np.stack([X, X]), np.stack([X, X], 1), X[None], X[:, None], X[None, None], np.stack([X] * 6),
    np.stack([X * 0.5, X * 1.5]), np.stack([2 * X, 0 * X], 1)])
def test_channels_are_averaged_either_way_round(model, audio):
    # Halves and doubles of float32 are exact: the mean is X, bit for bit.
    assert np.array_equal(model.encode(audio), model.encode(X))


@pytest.mark.parametrize(("dtype", "full"), [("int16", 2**15), ("int32", 2**31), ("int8", 2**7)])
def test_integers_are_scaled_by_their_full_scale(model, dtype, full):
    integers = np.round(X.astype(np.float64) * (full - 1)).astype(dtype)
    floats = (integers / full).astype(np.float32)
    assert np.array_equal(model.encode(integers), model.encode(floats))
    assert np.array_equal(model.encode(np.stack([integers, integers])), model.encode(floats))


def test_bytes_lie_around_128(model):
    signed = np.round(X * 127).astype(np.int8)
    assert np.array_equal(model.encode((signed.astype(np.int16) + 128).astype(np.uint8)),
                          model.encode(signed))


def test_torch_and_mlx_integers_and_half_floats(model):
    import mlx.core as mx
    import torch

    integers = np.round(X * 32767).astype(np.int16)
    expected = model.encode(integers)
    for array in torch.from_numpy(integers), mx.array(integers):
        assert np.array_equal(model.encode(array), expected)
    assert np.array_equal(model.encode(torch._neg_view(-torch.from_numpy(integers))), expected)
    half = torch.from_numpy(X).bfloat16()
    assert np.array_equal(model.encode(half), model.encode(half.float().numpy()))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_a_rate_that_is_given_is_resampled_as_a_file_is(model, tmp_path, rate_hz, csm_command,
                                                        model_dir):
    import soundfile

    sound = tone(rate_hz, rate_hz=rate_hz)
    soundfile.write(tmp_path / "a.wav", sound, rate_hz, subtype="FLOAT")
    csm_command("codec", "encode", tmp_path / "a.wav", tmp_path / "a.st", "--model-path", model_dir)
    from csm import _csm

    expected = _csm.read_tensors(str(tmp_path / "a.st"))["codes"]
    assert np.array_equal(model.encode(sound, sampling_rate=rate_hz), expected)
    assert np.array_equal(model.encode(np.stack([sound, sound], 1), rate_hz), expected)


@pytest.mark.parametrize(("audio", "says"), [
    (np.zeros((3, 3)), "shape"), (np.zeros((12, 4000)), "shape"), (np.zeros((2, 2, 400)), "shape"),
    (np.zeros((8, 8)), "shape"), (X * 8000, "expected -1 to 1"), (X * np.nan, "finite"), (X + np.inf, "finite"),
    (np.stack([X, -X]), "cancel"), (np.stack([X, -0.99 * X], 1), "cancel"),
    (np.zeros(4000, np.int64), "int64"), (np.zeros(4000, np.uint16), "uint16")])
def test_what_is_no_sound_is_refused_by_name(model, audio, says):
    for call in (lambda: model.encode(audio),
                 lambda: model.generate("x", context=[csm.Segment(0, "y", audio)])):
        with pytest.raises(ValueError, match=rf"audio: .*{says}"):
            call()


@pytest.mark.parametrize(("audio", "text", "code"), [
    (np.zeros(48000), "y", "silent-recording"), (X * 1e-3, "y", "silent-recording"),
    (np.full(4000, 5e-4), "y", "silent-recording"), (X[:1919], "y", "short-recording"),
    (X[:10], "y", "short-recording"), (np.sign(X), "Words.", "clipped-recording"), (X, "Words, " * 100, "unlikely-text")])
def test_a_recording_without_a_voice_is_warned_of(model, audio, text, code):
    with pytest.warns(csm.SpeechWarning) as told:
        model.generate("Hi.", context=[csm.Segment(0, text, audio)], max_audio_length_ms=160)
    assert code in [w.message.code for w in told]


@pytest.mark.parametrize("rate_hz", [0, -1, 1e6, "24000"])
def test_a_rate_that_is_none_is_refused(model, rate_hz):
    with pytest.raises((TypeError, ValueError), match="sampling_rate"):
        model.encode(X, sampling_rate=rate_hz)


def nested():
    import torch

    return torch.nested.nested_tensor([torch.zeros(5), torch.zeros(3)])


def quantized():
    import torch

    return torch.quantize_per_tensor(torch.from_numpy(X), 0.01, 0, torch.qint8)


# Arrays whose numbers are not those that a reader of their memory finds.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("audio", [
    lambda: np.ma.masked_array(X, mask=X > 0), lambda: X.tobytes(), lambda: bytearray(X.tobytes()),
    nested, quantized], ids=["masked", "bytes", "bytearray", "nested", "quantized"])
def test_what_has_no_numbers_to_read_is_refused_by_name(model, audio):
    with pytest.raises((TypeError, ValueError), match="^audio: "):
        model.encode(audio())
    with pytest.raises((TypeError, ValueError), match="^context: audio: "):
        model.generate("Hi.", context=[csm.Segment(0, "a", audio())])


def test_a_mask_that_hides_nothing_is_no_mask(model):
    assert np.array_equal(model.encode(np.ma.masked_array(X)), model.encode(X))


@pytest.mark.parametrize("codes", [np.zeros(8, int), np.zeros((1, 3, 8), int), np.zeros((3, 0), int),
                                   np.zeros((3, 33), int)])
def test_codes_of_another_shape_are_refused_by_name(model, codes):
    with pytest.raises(ValueError, match="^codes: shape|^33 codebooks"):
        model.decode(codes)
    with pytest.raises(ValueError, match="^context: codes: (shape|33 codebooks, expected the model's 8)"):
        model.generate("Hi.", context=[csm.Segment(0, "a", codes=codes)])


def test_a_context_that_cannot_fit_is_refused_before_it_is_encoded(model):
    hours = np.broadcast_to(np.float32(0.1), 3 * 3600 * 24000)  # minutes, if it were encoded
    with pytest.raises(ValueError, match="the prompt has 1350.. positions"):
        model.generate("Hi.", context=[csm.Segment(0, "a", hours)])
