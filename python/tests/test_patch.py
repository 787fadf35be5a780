# SPDX-License-Identifier: Apache-2.0
"""patch_mlx_sampling against PyTorch's draws from the same logits, live, with mlx, mlx-lm and
mlx-audio. CSM_PYTHON_DRAWS: how many draws of each kind."""

import functools
import os
import subprocess
import sys
import threading
import types

import mlx.core as mx
import mlx_audio.lm.sample_utils as mlx_audio_sample_utils
import mlx_lm.sample_utils as sample_utils
import numpy as np
import pytest
import small_models
import torch
from csm_mlx_calls import generate
from test_sampling import random_logits, sample_topk

from csm.cli.use_exact_sampling import is_exact_sampling_enabled, main, patch_mlx_sampling


N_DRAWS = int(os.environ.get("CSM_PYTHON_DRAWS", 5_000))


def functions_of_mlx():
    return [mx.random.categorical, mx.random.seed] + [
        getattr(module, name) for module in (sample_utils, mlx_audio_sample_utils)
        for name in ("make_sampler", "categorical_sampling")]


@pytest.fixture(autouse=True)
def leaves_mlx_as_it_was():
    before = functions_of_mlx()
    yield
    patch_mlx_sampling(enable=False)
    assert before == functions_of_mlx()


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
@pytest.mark.parametrize("module", [sample_utils, mlx_audio_sample_utils])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_csm_mlxs_calls_draw_torchs_tokens(dtype, module):
    for part in range(0, N_DRAWS, 5000):
        logits = random_logits(min(5000, N_DRAWS - part), 2051, part, dtype)
        of_mlx = mx.array(logits.float().numpy()).astype(getattr(mx, str(dtype)[6:]))
        logprobs = of_mlx - mx.logsumexp(of_mlx, axis=-1, keepdims=True)
        of_torch = torch.tensor(np.array(logprobs.astype(mx.float32))).to(dtype)
        with patch_mlx_sampling():
            mx.random.seed(part)
            sampler = module.make_sampler(0.9, top_k=50)
            drawn = [sampler(logprobs[i:i + 1]).item() for i in range(len(logits))]
        torch.manual_seed(part)
        expected = [sample_topk(row[None], 50, 0.9).item() for row in of_torch]
        assert drawn == expected


def test_a_patched_csm_mlx_draws_torchs_tokens():
    """Its model with random weights: what the sampler is handed, PyTorch's sampler is fed."""
    model = small_models.csm_mlx_model()
    n_frames = 125
    for seed in range(-(-N_DRAWS // (5 * n_frames * model.n_codebooks))):  # a fifth: the model is slow
        handed = []
        with patch_mlx_sampling():
            made = sample_utils.make_sampler

            def recording(temp, top_k):
                sampler = made(temp, top_k=top_k)

                def sample(logprobs):
                    handed.append(np.array(logprobs))
                    return sampler(logprobs)

                return sample

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("csm_mlx_calls.make_sampler", recording)
                drawn, _ = generate(model, [3, 5, 7, 11], n_frames, seed)
        torch.manual_seed(seed)
        expected = [sample_topk(torch.from_numpy(row), 50, 0.9).item() for row in handed]
        assert np.array(drawn).ravel().tolist() == expected[:drawn.size]


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
    for name in ("random.categorical", "mlx_lm.sample_utils.make_sampler",
                 "mlx_audio.lm.sample_utils.make_sampler"):
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


def test_blocks_of_threads_may_overlap():
    """One thread's block ends while another's goes on, in either order."""
    for first_out in (0, 1):
        inside = threading.Barrier(3)
        leave = [threading.Event(), threading.Event()]
        left = [threading.Event(), threading.Event()]

        def block(which):
            with patch_mlx_sampling():
                inside.wait()
                leave[which].wait()
            left[which].set()

        threads = [threading.Thread(target=block, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        inside.wait()
        leave[first_out].set()
        left[first_out].wait()
        assert is_exact_sampling_enabled()
        leave[1 - first_out].set()
        for thread in threads:
            thread.join()
        assert not is_exact_sampling_enabled()


def test_a_block_within_a_switch_leaves_it_on():
    patch_mlx_sampling()
    with patch_mlx_sampling():
        patch_mlx_sampling(enable=False)
        assert not is_exact_sampling_enabled()
    assert is_exact_sampling_enabled()
    with patch_mlx_sampling(enable=False):
        assert not is_exact_sampling_enabled()
    assert is_exact_sampling_enabled()
    for _ in range(5):  # without a block the last call counts
        patch_mlx_sampling()
        patch_mlx_sampling(enable=False)
    assert not is_exact_sampling_enabled()


def test_what_was_made_under_the_patch_is_mlxs_again_after_it():
    row = mx.array(random_logits(1, 300, 6).numpy())
    with patch_mlx_sampling():
        sampler = sample_utils.make_sampler(0.7)
        kept = functools.partial(mx.random.categorical, axis=-1)
    for call, plain in ((sampler, sample_utils.make_sampler(0.7)),
                        (kept, mx.random.categorical)):
        mx.random.seed(5)
        drawn = [call(row).item() for _ in range(20)]
        mx.random.seed(5)
        assert drawn == [plain(row).item() for _ in range(20)]


def test_a_module_imported_under_the_patch_is_restored():
    user = types.ModuleType("late_user_of_make_sampler")
    sys.modules[user.__name__] = user
    try:
        with patch_mlx_sampling():
            user.make_sampler = sample_utils.make_sampler
        assert user.make_sampler is sample_utils.make_sampler
    finally:
        del sys.modules[user.__name__]


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


def test_a_script_runs_with_exact_sampling(tmp_path):
    (tmp_path / "beside.py").write_text("import mlx.core as mx\nseed = mx.random.seed\n")
    (tmp_path / "script.py").write_text(
        "import sys, beside, mlx.core as mx\n"
        "from csm.cli.use_exact_sampling import is_exact_sampling_enabled\n"
        "beside.seed(3)\n"
        "print(mx.random.categorical(mx.zeros(50)).item(), is_exact_sampling_enabled(), sys.argv[1:])\n")
    torch.manual_seed(3)
    expected = torch.multinomial(torch.softmax(torch.zeros(50), -1), 1).item()
    done = subprocess.run([sys.executable, "-m", "csm.cli.use_exact_sampling", "--enable",
                           str(tmp_path / "script.py"), "--flag", "1"],
                          capture_output=True, text=True)
    assert done.stdout.strip() == f"{expected} True ['--flag', '1']", done.stderr


def test_a_script_that_is_not_there_is_named(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    with pytest.raises(SystemExit, match="2"):
        main(["--enable", "nowhere.py"])
    assert "nowhere.py" in capsys.readouterr().err
