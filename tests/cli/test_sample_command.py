# SPDX-License-Identifier: Apache-2.0
"""csm sample and csm noise as programs outside call them: files of every dtype, of one to three
dimensions, lines and tensors, rounds and batches."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
STREAMS = {"transformers": "torch-cpu", "sesame": "torch-cuda", "csm-mlx": "mlx",
           "mlx-categorical": "mlx"}


@pytest.fixture
def logits():
    return torch.randn(6, 300, generator=torch.Generator().manual_seed(1)) * 3


def options(sampler, dtype):
    return ["--tensor", "x", "--sampler", sampler, "--stream", STREAMS[sampler], "--dtype", dtype,
            "--seed", 42, "--topk", 20, "--temperature", 0.8,
            *(["--mlx-version", "0.32.4"] if "mlx" in sampler else []),
            *(["--top-p", 0.9, "--min-p", 0.01] if sampler != "sesame" else [])]


@pytest.mark.parametrize("sampler", STREAMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_holds_its_numbers_in_any_dtype(csm, tmp_path, logits, sampler, dtype):
    stored = logits.to(DTYPES[dtype])
    for name, x in (("stored", stored), ("wide", stored.float())):
        save_file({"x": x, "other": x[:1].clone()}, tmp_path / name)
        csm("sample", tmp_path / name, *options(sampler, dtype), "--rounds", 3, "--batch", 2,
            "--output", tmp_path / f"{name}.out", "--save-probs")
    got, want = (load_file(tmp_path / f"{name}.out") for name in ("stored", "wide"))
    assert got["tokens"].shape == (3, 6) and got["tokens"].dtype == np.int32
    assert got["margins"].shape == (3, 6) and got["margins"].dtype == np.float32
    # each is rounded to the dtype twice: bfloat16 has 2^-9 of itself
    assert got["probs"].shape == (6, 300) and np.allclose(got["probs"].sum(1), 1, atol=0.01)
    assert all(np.array_equal(got[key], want[key]) for key in ("tokens", "margins", "probs"))
    lines = csm("sample", tmp_path / "stored", *options(sampler, dtype), "--rounds", 3, "--batch", 2)
    assert lines.stdout == "".join(f"{token}\n" for token in got["tokens"].ravel())


@pytest.mark.parametrize("sampler", STREAMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_64_bits_are_rounded_as_torch_rounds_them(csm, tmp_path, logits, sampler, dtype):
    wide = logits.double() * (1 + 2**-40)
    save_file({"x": wide}, tmp_path / "wide")
    save_file({"x": wide.to(DTYPES[dtype])}, tmp_path / "rounded")
    drawn = [csm("sample", tmp_path / name, *options(sampler, dtype), "--rounds", 3).stdout
             for name in ("wide", "rounded")]
    assert drawn[0] == drawn[1] and len(drawn[0].splitlines()) == 18


@pytest.mark.parametrize("sampler", STREAMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_dimension_is_one_row(csm, tmp_path, logits, sampler, dtype):
    x = logits.to(DTYPES[dtype])
    save_file({"x": x[0].clone()}, tmp_path / "one")
    save_file({"x": x[:1].clone()}, tmp_path / "two")
    one, two = (csm("sample", tmp_path / name, *options(sampler, dtype), "--rounds", 9).stdout
                for name in ("one", "two"))
    assert one == two and len(one.splitlines()) == 9


def test_a_token_files_logits_give_its_codes_again(csm, tmp_path):
    csm("generate", "--text", "Drawn twice.", "--seed", 3, "--strategy", "exact", "--save-tokens", tmp_path / "t",
        "--save-logits", "--output", "none")
    tokens = load_file(tmp_path / "t")
    drawn = csm("sample", tmp_path / "t", "--tensor", "logits", "--sampler", "sesame", "--seed", 3, "--topk", 50,
                "--temperature", 0.7).stdout.split() # the embedded voice's own
    assert len(tokens["logits"].shape) == 3 and [int(code) for code in drawn] == tokens["codes"].ravel().tolist()


@pytest.mark.parametrize("sampler", STREAMS)
def test_one_generator_goes_over_rows_and_rounds(csm, tmp_path, logits, sampler):
    save_file({"x": logits}, tmp_path / "rows")
    save_file({"x": torch.cat([logits, logits])}, tmp_path / "twice")
    twice = csm("sample", tmp_path / "rows", *options(sampler, "f32"), "--rounds", 2).stdout
    assert twice == csm("sample", tmp_path / "twice", *options(sampler, "f32")).stdout


@pytest.mark.parametrize("tensors, expected", [
    ({"x": torch.tensor(1.0)}, "rank"), ({"x": torch.zeros(2, 3, dtype=torch.int32)}, "dtype"),
    ({"x": torch.zeros(0, 3)}, "empty"), ({"y": torch.zeros(2, 3)}, "no tensor of that name"),
])
def test_other_tensors_are_refused(csm, tmp_path, tensors, expected):
    save_file(tensors, tmp_path / "x")
    done = csm("sample", tmp_path / "x", "--tensor", "x", "--output", tmp_path / "o", check=False)
    assert done.returncode == 3 and expected in done.stderr and not (tmp_path / "o").exists()


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy_are_refused_with_the_command_that_converts_them(csm, tmp_path, logits, save, order):
    given, made = tmp_path / f"x.{'npy' if save is np.save else 'npz'}", tmp_path / "model.safetensors"
    save(given, **{("arr" if save is np.save else "x"): np.array(logits.numpy(), order=order)})
    done = csm("sample", given, check=False)
    assert done.returncode == 3 and "NumPy, expected safetensors; convert it: " in done.stderr
    subprocess.run(done.stderr.partition("convert it: ")[2].replace("python3", sys.executable, 1),
                   shell=True, cwd=tmp_path, check=True)
    save_file({"x": logits}, tmp_path / "right")
    assert csm("sample", made).stdout == csm("sample", tmp_path / "right").stdout


@pytest.mark.parametrize("seed, same", [(-1, 2**64 - 1), (-2**63, 2**63), (-7, 2**64 - 7),
                                        (2**40 + 5, 5)])
def test_seeds_are_read_as_torch_manual_seed_reads_them(csm, seed, same):
    torch.manual_seed(seed)
    theirs = torch.empty(2, 5).exponential_(1).numpy().ravel()
    for given in (seed, same):
        lines = csm("noise", "--seed", given, "--shape", "2,5").stdout.split()
        assert np.array_equal(np.array(lines, np.float32), theirs)


def test_a_random_seed_is_said_and_repeats(csm):
    done = csm("noise", "--seed", "random", "--shape", "1,9")
    said = re.fullmatch(r"csm: --seed random: (\d+)\n", done.stderr)
    assert csm("noise", "--seed", said[1], "--shape", "1,9").stdout == done.stdout
    assert csm("noise", "--seed", "random", "--shape", "1,9").stdout != done.stdout


@pytest.mark.parametrize("seed", [2**64, -2**63 - 1, "1.5", "-", "", "0x10", "rand", "--1"])
def test_what_is_no_seed_is_refused(csm, seed):
    done = csm("noise", "--shape", "1,2", f"--seed={seed}", check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert f"'{seed}', expected a whole number from -2^63 to 2^64 - 1, or random" in done.stderr


@pytest.mark.parametrize("stream", ["torch-cpu", "torch-cpu-mkl", "torch-cuda",
                                    "torch-inductor", "mlx"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_is_the_same_as_lines_and_as_a_tensor(csm, tmp_path, stream, dtype):
    call = ["noise", "--stream", stream, "--dtype", dtype, "--seed", 5, "--shape", "2,7", "--calls", 3]
    csm(*call, "--output", tmp_path / "n")
    noise = load_file(tmp_path / "n")["noise"]
    assert noise.shape == (3, 2, 7) and noise.dtype == np.float32
    lines = np.array(csm(*call).stdout.split(), np.float32)
    assert np.array_equal(lines, noise.ravel())
    assert np.array_equal(torch.from_numpy(noise).to(DTYPES[dtype]).float().numpy(), noise)


@pytest.mark.parametrize("threads", [221184, 65536, 4096])
def test_the_gpu_shapes_noise_of_more_elements_than_it_holds(csm, tmp_path, threads):
    # Element i is thread i mod T's number i / T: up to T every GPU has the same ones, and of two
    # GPUs those between one's T and the other's are others.
    def noise(*more):
        done = csm("noise", "--stream", "torch-cuda", "--shape", "3,128256", "--output",
                   tmp_path / "n.st", *more)
        raw = (tmp_path / "n.st").read_bytes()
        return np.frombuffer(raw[-4 * 3 * 128256:], np.float32), done.stderr

    hopper, told = noise()
    other, silent = noise("--cuda-threads", threads)
    assert "270336" in told and "--cuda-threads" in told and silent == ""
    assert np.array_equal(noise("--cuda-threads", 270336)[0], hopper)
    assert np.array_equal(other[:threads], hopper[:threads])
    assert np.mean(other[threads:270336] == hopper[threads:270336]) < 0.01


@pytest.mark.parametrize("stream", ["torch-cpu", "mlx", "torch-inductor"])
def test_threads_of_a_gpu_are_of_its_stream(csm, stream):
    done = csm("noise", "--shape", "3", "--stream", stream, "--cuda-threads", 4096, check=False)
    assert done.returncode == 2 and "--cuda-threads" in done.stderr and stream in done.stderr


def test_logits_are_read_from_a_pipe(csm, build_dir, tmp_path, logits):
    save_file({"x": logits}, tmp_path / "x.safetensors")
    want = csm("sample", tmp_path / "x.safetensors", "--seed", 3).stdout
    for name in "-", "/dev/stdin":
        done = subprocess.run([build_dir / "bin" / "csm", "sample", name, "--seed", "3"],
                              input=(tmp_path / "x.safetensors").read_bytes(), capture_output=True)
        assert (done.returncode, done.stdout.decode()) == (0, want)
    done = subprocess.run([build_dir / "bin" / "csm", "sample", "-", "--tensor", "y"],
                          input=(tmp_path / "x.safetensors").read_bytes(), capture_output=True)
    assert (done.returncode, done.stderr) == (3, b"csm: standard input: y: there is no tensor of that name\n")
