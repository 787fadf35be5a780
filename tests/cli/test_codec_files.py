# SPDX-License-Identifier: Apache-2.0
"""csm codec: sound from a pipe, codes of other programs."""

import pickle
import subprocess

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


@pytest.fixture(scope="module")
def encoded(csm, tmp_path_factory):
    """A sound, its codes, and the sound of these."""
    place = tmp_path_factory.mktemp("codec")
    csm("generate", "--text", "Hello there.", "--seed", 3, "--output", place / "a.wav")
    csm("codec", "encode", place / "a.wav", place / "a.safetensors")
    csm("codec", "decode", place / "a.safetensors", place / "b.wav")
    codes = load_file(place / "a.safetensors")["codes"]
    assert codes.shape[0] != codes.shape[1]
    return place / "a.wav", codes, soundfile.read(place / "b.wav", dtype="float32")[0]


@pytest.mark.parametrize("by", ["cat {} | {csm} codec encode - {out}", "{csm} codec encode /dev/stdin {out} < {}",
                                "{csm} codec encode <(cat {}) {out}"])
def test_sound_comes_through_a_pipe(build_dir, encoded, tmp_path, by):
    sound, codes, _ = encoded
    out = tmp_path / "o.safetensors"
    command = by.replace("{csm}", str(build_dir / "bin" / "csm")).replace("{out}", str(out)).replace("{}", str(sound))
    subprocess.run(["bash", "-c", command], check=True)
    assert np.array_equal(load_file(out)["codes"], codes)


def test_a_pipe_without_sound_is_refused(build_dir, tmp_path):
    for data, says in ((b"", "it is empty"), (b"hello there, no sound", "standard input: not a sound file")):
        done = subprocess.run([build_dir / "bin" / "csm", "codec", "encode", "-", tmp_path / "o.st"], input=data,
                              stderr=subprocess.PIPE)
        assert done.returncode == 3 and says in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def write(path, codes):
    if path.suffix == ".npy":
        np.save(path, codes)
    elif path.suffix == ".npz":
        np.savez(path, codes=codes)
    else:
        save_file({"audio_codes": np.ascontiguousarray(codes)}, path)


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16"])
@pytest.mark.parametrize("shape", ["frames first", "codebooks first", "a batch of one, codebooks first"])
def test_codes_of_other_programs_are_decoded(csm, encoded, tmp_path, ending, dtype, shape):
    _, codes, sound = encoded
    codes = codes.astype(dtype)
    codes = {"f": codes, "c": codes.T, "a": codes.T[None]}[shape[0]]
    write(tmp_path / f"c.{ending}", codes)
    csm("codec", "decode", tmp_path / f"c.{ending}", tmp_path / "o.wav")
    assert np.array_equal(soundfile.read(tmp_path / "o.wav", dtype="float32")[0], sound)


def test_more_frames_than_codebooks_can_be_are_frames(csm, encoded, tmp_path):
    _, codes, _ = encoded
    long = np.tile(codes, (1025 // len(codes) + 1, 1))
    write(tmp_path / "c.npy", long.T[None])
    csm("codec", "decode", tmp_path / "c.npy", tmp_path / "o.wav")
    assert soundfile.info(tmp_path / "o.wav").frames == len(long) * 1920


@pytest.mark.parametrize("codes, says", [
    (np.zeros((3, 4), "float32"), "descr '<f4', expected integers"),
    (np.zeros((2, 3, 4), "int64"), "shape (2, 3, 4), expected (frames, codebooks)"),
    (np.full((5, 8), 1 << 40, "int64"), "code 2147483647, expected"),
    (np.full((5, 8), -1, "int64"), "code -1, expected"),
])
def test_what_are_no_codes_is_refused(csm, tmp_path, codes, says):
    write(tmp_path / "c.npy", codes)
    done = csm("codec", "decode", tmp_path / "c.npy", tmp_path / "o.wav", check=False)
    assert done.returncode == 3 and says in done.stderr and not (tmp_path / "o.wav").exists()


@pytest.mark.parametrize("by", ["cat {} | {csm} codec decode - {out}", "{csm} codec decode - {out} < {}",
                                "{csm} codec decode /dev/stdin {out} < {}", "{csm} codec decode <(cat {}) {out}",
                                "cat {} | {csm} generate --from-tokens - --output {out}"])
@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_codes_come_through_a_pipe(build_dir, encoded, tmp_path, by, ending):
    _, codes, sound = encoded
    write(tmp_path / f"c.{ending}", codes)
    out = tmp_path / "o.wav"
    command = by.replace("{csm}", str(build_dir / "bin" / "csm")).replace("{out}", str(out))
    subprocess.run(["bash", "-c", command.replace("{}", str(tmp_path / f"c.{ending}"))], check=True)
    assert np.array_equal(soundfile.read(out, dtype="float32")[0], sound)


def test_what_no_pipe_brings_is_refused(build_dir, encoded, tmp_path):
    np.savez(tmp_path / "c.npz", codes=encoded[1])
    for data, says in (((tmp_path / "c.npz").read_bytes(), "a .npz out of a pipe"), (b"", "0 bytes"),
                       (encoded[0].read_bytes(), "standard input: sound, expected codes")):
        done = subprocess.run([build_dir / "bin" / "csm", "codec", "decode", "-", tmp_path / "o.wav"], input=data,
                              stderr=subprocess.PIPE)
        assert done.returncode == 3 and says in done.stderr.decode()


@pytest.mark.parametrize("kind", ["numpy", "torch", "torch before 1.6"])
def test_pickled_codes_are_told_what_to_do(csm, encoded, tmp_path, kind):
    torch = pytest.importorskip("torch")
    path = tmp_path / "c.pt"
    if kind == "numpy":
        path.write_bytes(pickle.dumps(encoded[1]))
    else:
        torch.save(torch.tensor(encoded[1]), path, _use_new_zipfile_serialization=kind == "torch")
    done = csm("codec", "decode", path, tmp_path / "o.wav", check=False)
    assert done.returncode == 3 and "a pickle is not opened" in done.stderr and "numpy.save" in done.stderr


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_sound_in_the_place_of_codes_is_told(csm, encoded, tmp_path, ending):
    samples, rate = soundfile.read(encoded[0])
    soundfile.write(tmp_path / f"a.{ending}", samples, rate)
    done = csm("codec", "decode", tmp_path / f"a.{ending}", tmp_path / "o.wav", check=False)
    assert done.returncode == 3 and "sound, expected codes, which csm codec encode makes" in done.stderr


def test_options_of_decode_are_none_of_encode(csm, encoded, tmp_path):
    done = csm("codec", "encode", encoded[0], tmp_path / "o.st", "--sample-rate", "8000", check=False)
    assert done.returncode == 2 and "--sample-rate" in done.stderr
    write(tmp_path / "c.npy", encoded[1])
    done = csm("codec", "decode", tmp_path / "c.npy", tmp_path / "o.wav", "--codebooks", "2", check=False)
    assert done.returncode == 2 and "--codebooks is of encode" in done.stderr
    done = csm("codec", "encode", encoded[0], "none", check=False, cwd=tmp_path)
    assert done.returncode == 2 and not (tmp_path / "none").exists()


@pytest.mark.parametrize("is_batch", [False, True])
def test_codebooks_first_is_turned_round_wherever_codes_are_read(csm, encoded, tmp_path, is_batch):
    spoken = ["generate", "--text", "Hello there.", "--seed", 3, "--output", "none"]
    csm(*spoken, "--save-tokens", tmp_path / "a.safetensors")
    codes = load_file(tmp_path / "a.safetensors")["codes"]
    np.save(tmp_path / "t.npy", codes.T[None] if is_batch else codes.T)
    for pair in ["a.safetensors", "t.npy"], ["t.npy", "a.safetensors"]:
        done = csm("analyze", *pair, cwd=tmp_path)
        assert "t.npy: taken as [codebooks, frames]" in done.stderr
    csm(*spoken, "--forced-tokens", tmp_path / "t.npy", "--save-tokens", tmp_path / "f.safetensors")
    assert np.array_equal(load_file(tmp_path / "f.safetensors")["codes"], codes)


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
@pytest.mark.parametrize("shape", ["frames first", "codebooks first"])
@pytest.mark.parametrize("filling", [[0], [0, 0, 0], [-1, -1], [2050], [0, 2050, 2050]])
def test_the_end_of_speech_in_transformers_and_padding_are_no_sound(csm, encoded, tmp_path, ending, shape, filling):
    _, codes, sound = encoded
    ended = np.concatenate([codes, np.repeat(np.array(filling, codes.dtype)[:, None], codes.shape[1], 1)])
    write(tmp_path / f"c.{ending}", ended if shape == "frames first" else ended.T)
    done = csm("codec", "decode", tmp_path / f"c.{ending}", tmp_path / "o.wav")
    assert f"the last {len(filling)} of its frames are zeros" in done.stderr
    assert np.array_equal(soundfile.read(tmp_path / "o.wav", dtype="float32")[0], sound)


@pytest.mark.parametrize("filling, ended", [([0], "true"), ([0, 0, 0], "true"), ([-1, -1], "false"),
                                            ([0, 2050, 2050], "true")])
def test_padding_is_not_forced_and_bad_codes_are_the_files_fault(csm, encoded, tmp_path, filling, ended):
    _, codes, _ = encoded
    codes = codes[:5].copy()
    forced = ["generate", "--text", "Hello.", "--output", "none", "--forced-tokens", tmp_path / "c.npy",
              "--save-tokens", tmp_path / "f.safetensors"]
    write(tmp_path / "c.npy", np.concatenate([codes, np.repeat(np.array(filling)[:, None], codes.shape[1], 1)]))
    csm(*forced)
    assert len(load_file(tmp_path / "f.safetensors")["forced"]) == 5
    with safe_open(tmp_path / "f.safetensors", "np") as file:
        assert file.metadata()["ended"] == ended
    codes[2, 1] = -1
    write(tmp_path / "c.npy", codes)
    done = csm(*forced, check=False)
    assert done.returncode == 3 and "c.npy: frame 2, codebook 1: code -1, expected 0 to" in done.stderr
