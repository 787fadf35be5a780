# SPDX-License-Identifier: Apache-2.0
"""mlx_sample_exact and Sampler against PyTorch's own draws, live."""

import ctypes

import numpy as np
import pytest
import torch

import csm
from csm.cli.mlx_sample_exact import mlx_sample_exact


def sample_topk(logits, topk, temperature):
    """Sesame's models.py, restated: every step in the logits' dtype."""
    logits = logits / temperature
    kth = torch.topk(logits, topk)[0][..., -1, None]
    scores = logits.masked_fill(logits < kth, -float("inf"))
    probs = torch.softmax(torch.log_softmax(scores, dim=-1), dim=-1)
    noise = torch.empty_like(probs).exponential_(1)
    return torch.argmax(probs / noise, dim=-1, keepdim=True).to(torch.int32)


def random_logits(rows, vocab, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, vocab, generator=generator) * 3).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_stream_goes_on_as_torchs_does(dtype):
    logits = random_logits(2000, 2051, 1, dtype)
    torch.manual_seed(42)
    expected = torch.cat([sample_topk(row[None], 50, 0.9) for row in logits])
    first = mlx_sample_exact(logits[:1], topk=50, temperature=0.9, seed=42)
    rest = [mlx_sample_exact(row[None], topk=50, temperature=0.9) for row in logits[1:]]
    assert torch.equal(torch.cat([first, *rest]), expected)


@pytest.mark.parametrize("temperature", [1.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_at_the_ends_of_a_dtype_are_drawn_as_torchs(dtype, temperature):
    """Masks of finfo.min, which programs take for -inf: log_softmax puts what lies so far below the
    highest at -inf, wherever it stands. One mask at index 0, one over a half, all but one, all."""
    lowest = torch.finfo(dtype).min
    logits = random_logits(64, 300, 4, dtype) * 6
    logits[::4, 0], logits[1::4, ::2], logits[2::4, :299] = lowest, lowest, lowest
    logits[3::4] = torch.where(logits[3::4] > 0, -lowest * 0.8, lowest * 0.8)
    logits[60] = lowest * 0.8
    torch.manual_seed(5)
    expected = sample_topk(logits, 300, temperature)
    assert torch.equal(mlx_sample_exact(logits, 300, temperature, seed=5), expected)


def test_dtypes_share_one_stream():
    logits = random_logits(3, 300, 2)
    kinds = [torch.float32, torch.bfloat16, torch.float32]
    torch.manual_seed(7)
    expected = [sample_topk(row[None].to(kind), 20, 1.0) for row, kind in zip(logits, kinds)]
    drawn = [mlx_sample_exact(row[None].to(kind), 20, 1.0, seed=7 if i == 0 else None)
             for i, (row, kind) in enumerate(zip(logits, kinds))]
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected))


def test_the_kind_of_array_comes_back():
    import mlx.core as mx

    logits = random_logits(4, 100, 3)
    expected = mlx_sample_exact(logits, 10, 0.8, seed=1)
    assert isinstance(expected, torch.Tensor) and expected.shape == (4, 1)
    of_numpy = mlx_sample_exact(logits.numpy(), 10, 0.8, seed=1)
    assert isinstance(of_numpy, np.ndarray) and of_numpy.dtype == np.int32
    assert np.array_equal(of_numpy, expected.numpy())
    of_mlx = mlx_sample_exact(mx.array(logits.numpy()), 10, 0.8, seed=1)
    assert isinstance(of_mlx, mx.array) and of_mlx.dtype == mx.int32
    assert np.array_equal(np.array(of_mlx), expected.numpy())
    of_buffer = mlx_sample_exact(memoryview(logits.numpy()), 10, 0.8, seed=1)
    assert np.array_equal(of_buffer, expected.numpy())
    assert mlx_sample_exact(logits[0], 10, 0.8, seed=1).shape == (1, 1)


class OnlyDlpack:
    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dlpack_alone_is_enough(dtype):
    logits = random_logits(50, 300, 9, dtype)
    expected = mlx_sample_exact(logits, 10, 0.8, seed=1)
    of_dlpack = mlx_sample_exact(OnlyDlpack(logits), 10, 0.8, seed=1)
    assert isinstance(of_dlpack, np.ndarray) and np.array_equal(of_dlpack, expected.numpy())


def test_a_negative_seed_is_torchs():
    logits = random_logits(1, 300, 2)
    torch.manual_seed(-5)
    assert mlx_sample_exact(logits, 10, 1.0, seed=-5) == sample_topk(logits, 10, 1.0)
    for seed in -5, 2**64 - 5, np.int64(-5), np.uint64(2**64 - 5):
        sampler = csm.Sampler("sesame", "torch-cpu", seed=seed, temperature=1.0, top_k=10)
        torch.manual_seed(-5)
        assert sampler.draw(logits.numpy())[0] == sample_topk(logits, 10, 1.0).numpy(), seed
        assert np.array_equal(csm.noise("torch-cpu", seed=seed), csm.noise("torch-cpu", seed=2**64 - 5)), seed
    for seed in 2**64, -2**63 - 1, 1.5, "1", None:
        with pytest.raises(TypeError):
            csm.Sampler("sesame", "torch-cpu", seed=seed)


def test_bfloat16_of_mlx_is_sampled_in_bfloat16():
    import mlx.core as mx

    logits = random_logits(500, 2051, 4, torch.bfloat16)
    of_mlx = mx.array(logits.float().numpy()).astype(mx.bfloat16)
    expected = mlx_sample_exact(logits, 50, 0.9, seed=5)
    assert np.array_equal(np.array(mlx_sample_exact(of_mlx, 50, 0.9, seed=5)), expected.numpy())


def test_a_strided_array_is_read_right():
    logits = random_logits(100, 6, 6).T
    expected = mlx_sample_exact(logits.contiguous(), 50, 0.9, seed=5)
    assert torch.equal(mlx_sample_exact(logits, 50, 0.9, seed=5), expected)
    for of_numpy in logits.numpy(), logits.numpy().astype(">f4"):
        assert np.array_equal(mlx_sample_exact(of_numpy, 50, 0.9, seed=5), expected.numpy())


def test_a_view_of_torchs_with_the_other_sign_is_read_so():
    logits = random_logits(100, 6, 6)
    other = torch.complex(logits, -logits).conj().imag
    for view in other, torch._neg_view(-logits):
        assert view.is_neg() and torch.equal(view, logits)
        assert torch.equal(mlx_sample_exact(view, 5, 0.9, seed=5),
                           mlx_sample_exact(logits, 5, 0.9, seed=5))
    drawn = [csm.Sampler(seed=5).draw(each)[0] for each in (logits, torch._neg_view(-logits))]
    assert np.array_equal(*drawn)


def test_arrays_of_ctypes_have_no_strides_and_are_read():
    logits = random_logits(3, 6, 6).numpy()
    for rows, kind in (logits, ctypes.c_float * 6 * 3), (logits[0], ctypes.c_float * 6):
        drawn = csm.Sampler(seed=5).draw(kind.from_buffer_copy(rows.tobytes()))[0]
        assert np.array_equal(drawn, csm.Sampler(seed=5).draw(rows)[0])


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_a_tensor_without_values_is_refused():
    from torch._subclasses import FakeTensorMode

    with pytest.raises(TypeError, match="^logits: expected an array"):
        csm.Sampler().draw(FakeTensorMode().from_tensor(torch.zeros(1, 4)))


@pytest.mark.parametrize(("arguments", "error", "names"), [
    (dict(logits=[[1.0, 2.0]]), TypeError, "logits"),
    (dict(logits="text"), TypeError, "logits"),
    (dict(logits=np.zeros((1, 4), np.int32)), TypeError, "logits"),
    (dict(logits=np.zeros((1, 4), np.float64)), TypeError, "logits"),
    (dict(logits=np.zeros((1, 1, 4), np.float32)), ValueError, "logits"),
    (dict(logits=np.zeros((0, 4), np.float32)), ValueError, "logits"),
    (dict(logits=np.float32(3)), ValueError, "logits"),
    (dict(logits=torch.zeros(1, 4, device="meta")), ValueError, "logits.*meta"),
    (dict(logits=torch.zeros(1, 4).to_sparse()), ValueError, "logits.*sparse"),
    (dict(logits=np.zeros((1, 4), np.float32), topk=0), ValueError, "topk"),
    (dict(logits=np.zeros((1, 4), np.float32), topk=2.5), TypeError, "topk"),
    (dict(logits=np.zeros((1, 4), np.float32), topk=True), TypeError, "topk"),
    (dict(logits=np.zeros((1, 4), np.float32), topk=2, temperature=True), TypeError, "temperature"),
    (dict(logits=np.zeros((1, 4), np.float32), topk="2"), TypeError, "topk"),
    (dict(logits=np.zeros((1, 8), np.float32), temperature="1"), TypeError, "temperature"),
    (dict(logits=np.zeros((1, 8), np.float32), seed=1.5), TypeError, "seed"),
    (dict(logits=np.zeros((1, 8), np.float32), seed=2**64), ValueError, "seed"),
    (dict(logits=np.zeros((1, 4), np.float32), topk=5), ValueError, "topk"),
    (dict(logits=np.zeros((1, 8), np.float32), temperature=0.0), ValueError, "temperature"),
    (dict(logits=np.zeros((1, 8), np.float32), temperature=np.nan), ValueError, "temperature"),
    (dict(logits=np.full((1, 8), np.nan, np.float32)), ValueError, "row 0"),
    (dict(logits=np.full((2, 8), -np.inf, np.float32)), ValueError, "row 0"),
    (dict(logits=np.full((2, 8), np.inf, np.float32)), ValueError, "row 0"),
])
def test_bad_input_is_named(arguments, error, names):
    with pytest.raises(error, match=names):
        mlx_sample_exact(**arguments)


def test_a_mask_of_numpys_is_refused():
    logits = np.zeros((1, 4), np.float32)
    with pytest.raises(TypeError, match="^logits: a masked array"):
        mlx_sample_exact(np.ma.masked_array(logits, mask=[[1, 0, 0, 0]]), 3)
    assert mlx_sample_exact(np.ma.masked_array(logits), 3, seed=1) == mlx_sample_exact(logits, 3, seed=1)


def test_a_refused_draw_moves_nothing():
    sampler = csm.Sampler("sesame", "torch-cpu", seed=3)
    with pytest.raises(ValueError):
        sampler.draw(np.full((1, 2051), np.nan, np.float32))
    assert sampler.position == 0


def test_a_sampler_can_be_put_back():
    logits = random_logits(1, 2051, 8).numpy()
    sampler = csm.Sampler("transformers", "torch-cpu", seed=3)
    first = [sampler.draw(logits)[0].item() for _ in range(20)]
    assert sampler.position == 20 * 2 * 2051  # two outputs a number: torch's mt19937
    sampler.position = 5 * 2 * 2051
    assert [sampler.draw(logits)[0].item() for _ in range(15)] == first[5:]


def test_noise_is_torchs():
    torch.manual_seed(11)
    expected = torch.empty(3, 2051).exponential_(1).numpy()
    assert np.array_equal(csm.noise("torch-cpu", "f32", 11, 3, 2051), expected)


@pytest.mark.parametrize("arguments", [
    dict(sampler="nobody"), dict(stream="nobody"), dict(dtype="f64"), dict(temperature=-1.0),
    dict(sampler="csm-mlx", stream="torch-cpu"), dict(top_p=2.0), dict(mlx_version="x"),
])
def test_a_sampler_refuses_what_it_is_not(arguments):
    with pytest.raises(ValueError):
        csm.Sampler(**arguments)
