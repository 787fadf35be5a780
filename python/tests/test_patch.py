# SPDX-License-Identifier: Apache-2.0
"""patch_mlx_sampling against PyTorch's draws from the same logits, live, with mlx and mlx-lm."""

import threading

import mlx.core as mx
import mlx_lm.sample_utils as sample_utils
import numpy as np
import pytest
import torch
from test_sampling import random_logits, sample_topk

from csm.cli.use_exact_sampling import is_exact_sampling_enabled, main, patch_mlx_sampling


@pytest.fixture(autouse=True)
def leaves_mlx_as_it_was():
    before = (mx.random.categorical, mx.random.seed, sample_utils.make_sampler,
              sample_utils.categorical_sampling)
    yield
    patch_mlx_sampling(enable=False)
    assert before == (mx.random.categorical, mx.random.seed, sample_utils.make_sampler,
                      sample_utils.categorical_sampling)


def test_categorical_draws_torchs_tokens():
    logits = random_logits(5000, 200, 1)
    torch.manual_seed(3)
    expected = [torch.multinomial(torch.softmax(row, -1), 1).item() for row in logits]
    with patch_mlx_sampling():
        mx.random.seed(3)
        drawn = [mx.random.categorical(mx.array(row.numpy())).item() for row in logits]
    assert drawn == expected


def test_categorical_keeps_its_shapes():
    logits = mx.array(random_logits(6, 50, 2).numpy()).reshape(2, 3, 50)
    shapes = [dict(), dict(axis=1), dict(num_samples=4), dict(shape=(5, 2, 3))]
    plain = [mx.random.categorical(logits, **given) for given in shapes]
    with patch_mlx_sampling():
        drawn = [mx.random.categorical(logits, **given) for given in shapes]
    assert [(a.shape, a.dtype) for a in drawn] == [(a.shape, a.dtype) for a in plain]


def test_an_explicit_key_stays_mlxs():
    logits = mx.array(random_logits(1, 50, 2).numpy())
    key = mx.random.key(4)
    plain = mx.random.categorical(logits, key=key)
    with patch_mlx_sampling():
        assert mx.array_equal(mx.random.categorical(logits, key=key), plain)


# csm-mlx's generate_frame: logits - logsumexp, then mlx-lm's sampler, once a codebook.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_csm_mlxs_calls_draw_torchs_tokens(dtype):
    logits = random_logits(20_000, 2051, 5, dtype)
    of_mlx = mx.array(logits.float().numpy()).astype(getattr(mx, str(dtype)[6:]))
    logprobs = of_mlx - mx.logsumexp(of_mlx, axis=-1, keepdims=True)
    of_torch = torch.tensor(np.array(logprobs.astype(mx.float32))).to(dtype)
    with patch_mlx_sampling():
        mx.random.seed(42)
        sampler = sample_utils.make_sampler(0.9, top_k=50)
        drawn = [sampler(logprobs[i:i + 1]).item() for i in range(len(logits))]
    torch.manual_seed(42)
    expected = [sample_topk(row[None], 50, 0.9).item() for row in of_torch]
    assert drawn == expected


def test_a_sampler_made_before_the_patch_draws_torchs_tokens():
    logits = random_logits(500, 300, 6)
    sampler = sample_utils.make_sampler(0.7)
    torch.manual_seed(1)
    expected = [sample_topk(row[None], 300, 0.7).item() for row in logits]
    with patch_mlx_sampling():
        mx.random.seed(1)
        assert [sampler(mx.array(row[None].numpy())).item() for row in logits] == expected


def test_greedy_stays_greedy():
    logits = mx.array(random_logits(3, 50, 2).numpy())
    with patch_mlx_sampling():
        assert mx.array_equal(sample_utils.make_sampler(0.0)(logits), mx.argmax(logits, axis=-1))


def test_the_documented_calls_work_as_written():
    original = mx.random.categorical
    original_func = patch_mlx_sampling(enable=True, verbose=True)
    assert is_exact_sampling_enabled()
    logits = mx.array(random_logits(1, 50, 2).numpy())
    mx.random.seed(1)
    assert original_func(logits).shape == (1,)
    patch_mlx_sampling(enable=False)
    assert not is_exact_sampling_enabled()
    assert mx.random.categorical is original


def test_verbose_names_what_was_replaced(capsys):
    patch_mlx_sampling(enable=True, verbose=True)
    patch_mlx_sampling(enable=False, verbose=True)
    said = capsys.readouterr().err
    for name in ("random.categorical", "mlx_lm.sample_utils.make_sampler"):
        assert said.count(name) >= 2


def test_nested_blocks_restore_the_outer_one():
    with patch_mlx_sampling():
        with patch_mlx_sampling():
            assert is_exact_sampling_enabled()
        assert is_exact_sampling_enabled()
        with patch_mlx_sampling(enable=False):
            assert not is_exact_sampling_enabled()
        assert is_exact_sampling_enabled()
    assert not is_exact_sampling_enabled()


def test_threads_share_the_stream_without_losing_a_draw():
    logits = random_logits(1, 2051, 7)
    torch.manual_seed(8)
    expected = sorted(sample_topk(logits, 50, 0.9).item() for _ in range(400))
    drawn = []
    row = logits.numpy()
    with patch_mlx_sampling():
        mx.random.seed(8)
        sampler = sample_utils.make_sampler(0.9, top_k=50)

        def draw():
            for _ in range(100):
                drawn.append(sampler(mx.array(row)).item())

        threads = [threading.Thread(target=draw) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(drawn) == expected


def test_a_name_imported_before_the_patch_is_replaced_and_restored():
    import sys
    import types

    user = types.ModuleType("user_of_make_sampler")
    user.make_sampler = sample_utils.make_sampler
    sys.modules[user.__name__] = user
    try:
        with patch_mlx_sampling():
            assert user.make_sampler is sample_utils.make_sampler
        assert user.make_sampler is sample_utils.make_sampler
    finally:
        del sys.modules[user.__name__]


def test_status_tells(capsys):
    assert main(["--status"]) == 0
    assert "off" in capsys.readouterr().out
