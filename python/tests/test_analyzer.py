# SPDX-License-Identifier: Apache-2.0
"""The documented snippets, on the same small random model in each program that people have."""

import sys
import types

import mlx.core as mx
import numpy as np
import pytest
import small_models
import torch
from test_sampling import sample_topk

import csm
from csm.cli.token_analyzer import (analyze_distributions, capture_tokens,
                                    compare_sampling_implementations, load_token_analysis,
                                    save_token_analysis)
from csm.cli.use_exact_sampling import patch_mlx_sampling

CONTEXT = [csm.Segment(1, "Hi.", np.sin(np.arange(5000) / 9).astype(np.float32))]


@pytest.fixture(scope="module")
def pt_model(tmp_path_factory):
    return small_models.transformers_model(tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="module")
def mlx_model(tmp_path_factory):
    return small_models.mlx_audio_model(tmp_path_factory.mktemp("mlx-audio"))


@pytest.fixture(scope="module")
def results(pt_model, model_dir):
    return capture_tokens(pt_model, model_dir, "Hello world", max_audio_length_ms=960)


def test_the_snippet_runs_as_it_stands(pt_model, mlx_model, capsys):
    from csm.cli.token_analyzer import analyze_distributions, capture_tokens
    results = capture_tokens(pt_model, mlx_model, "Hello world")
    pt_tokens = results['pytorch']['tokens']
    mlx_tokens = results['mlx']['tokens']
    analyze_distributions(pt_tokens, mlx_tokens)
    assert pt_tokens.shape[1] == mlx_tokens.shape[1] == 8
    assert "Verdict" in capsys.readouterr().out
    # What one knows of the captures says more: they drew from different streams.
    report = analyze_distributions(results['pytorch'], results['mlx'], verbose=False)
    assert (report["verdict"], report["cause"]) == ("noise", "stream")
    assert results['mlx']['settings']['stream'] == "mlx"


def test_patched_mlx_audio_draws_the_tokens_of_transformers(pt_model, mlx_model):
    with patch_mlx_sampling():
        results = capture_tokens(pt_model, mlx_model, "Hello world", max_audio_length_ms=960)
    captured = results['mlx']
    assert np.array_equal(captured['tokens'], results['pytorch']['tokens'])
    torch.manual_seed(42)
    rows = torch.from_numpy(captured['logits']).reshape(96, 1, -1)
    expected = [sample_topk(row, 50, 0.9).item() for row in rows]
    assert captured['tokens'].ravel().tolist() == expected
    assert captured['settings']['stream'] == "torch-cpu"
    assert captured['audio'].shape == (12 * 1920,)


def test_transformers_and_we_draw_the_same_tokens(results):
    pt_tokens = results['pytorch']['tokens']
    mlx_tokens = results['mlx']['tokens']
    assert pt_tokens.shape == (12, 8)
    assert np.array_equal(pt_tokens, mlx_tokens)
    # f32 on both sides, sums in different orders: 4e-5 at most.
    assert np.abs(results['pytorch']['logits'] - results['mlx']['logits']).max() < 1e-3
    assert results['pytorch']['audio'].shape == results['mlx']['audio'].shape
    # Margins are in logits over the temperature of 0.9: twice the error, and some rounding.
    np.testing.assert_allclose(results['pytorch']['margins'], results['mlx']['margins'], atol=3e-3)


def test_turns_with_sound_reach_each_program(pt_model, mlx_model, model_dir):
    ours = csm.Model(model_dir, engine="native")
    asked = dict(context=CONTEXT, max_audio_length_ms=400)
    results = capture_tokens(pt_model, ours, "Hello world", **asked)
    assert np.array_equal(results['pytorch']['tokens'], results['mlx']['tokens'])
    generator = small_models.sesame_generator()
    spoken = capture_tokens(generator, mlx_model, "Hello world", **asked)
    alone = capture_tokens(generator, mlx_model, "Hello world", max_audio_length_ms=400)
    for name in spoken:
        assert not np.array_equal(spoken[name]['logits'], alone[name]['logits'])
    with pytest.raises(ValueError, match="context"):
        capture_tokens(generator, ours, "Hi.", context=[csm.Segment(0, "x", codes=[[1] * 8])])


def test_sesames_generator_and_we_draw_the_same_tokens(model_dir):
    generator = small_models.sesame_generator()
    results = capture_tokens(generator, model_dir, "Hello world", max_audio_length_ms=960)
    assert np.array_equal(results['pytorch']['tokens'], results['mlx']['tokens'])
    assert results['pytorch']['settings']['stream'] == "torch-cpu"


def test_the_report_says_they_are_the_same(results, capsys):
    report = analyze_distributions(results['pytorch']['tokens'], results['mlx']['tokens'])
    assert report["verdict"] == "same"
    assert report["similarity"] == 1
    assert capsys.readouterr().out


def test_a_figure_is_drawn(results, tmp_path):
    analyze_distributions(results['pytorch'], results['mlx'], verbose=False,
                          figure=tmp_path / "tokens.png")
    assert (tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")


def test_other_tokens_are_told_apart(results):
    other = (results['mlx']['tokens'] + 5) % 1000
    report = analyze_distributions(results['pytorch']['tokens'], other, verbose=False)
    assert report["verdict"] != "same"
    assert report["first_divergence"]["frame"] == 0


def test_what_is_saved_is_loaded(results, tmp_path):
    save_token_analysis(results, tmp_path)
    loaded = load_token_analysis(tmp_path)
    assert loaded.keys() == results.keys()
    for name, capture in results.items():
        assert np.array_equal(loaded[name]["tokens"], capture["tokens"])
        assert np.array_equal(loaded[name]["logits"], capture["logits"])
        assert np.array_equal(loaded[name]["audio"], capture["audio"])
        assert loaded[name]["settings"] == capture["settings"]


def test_a_function_is_a_source_of_tokens():
    results = capture_tokens(lambda text, seed: np.full((3, 4), seed),
                             lambda text, seed: {"tokens": np.full((2, 4), len(text))}, "abc",
                             seed=5, names=("a", "b"))
    assert results["a"]["tokens"].tolist() == [[5] * 4] * 3
    assert results["b"]["tokens"].tolist() == [[3] * 4] * 2


def test_csm_mlx_is_captured_through_its_sampler(monkeypatch):
    """csm-mlx is not on PyPI: its calls restated, a sampler called once a codebook."""
    package = types.ModuleType("csm_mlx")
    logits = mx.array(np.random.default_rng(1).normal(size=(1, 100)).astype(np.float32))

    class CSM:
        n_audio_codebooks = 4

    CSM.__module__ = "csm_mlx.models"

    def generate(model, text, speaker, context, max_audio_length_ms, *, sampler):
        logprobs = logits - mx.logsumexp(logits, keepdims=True)
        for _ in range(int(max_audio_length_ms / 80) * model.n_audio_codebooks):
            assert sampler(logprobs).shape == (1,)
        return mx.zeros(1920)

    package.generate, package.Segment = generate, None
    monkeypatch.setitem(sys.modules, "csm_mlx", package)
    results = capture_tokens(CSM(), CSM(), "Hello", max_audio_length_ms=400)
    assert results["pytorch"]["tokens"].shape == (5, 4)
    assert results["pytorch"]["logits"].shape == (5, 4, 100)
    assert np.array_equal(results["pytorch"]["tokens"], results["mlx"]["tokens"])


@pytest.mark.parametrize(("arguments", "error", "names"), [
    (dict(a=3), TypeError, "^a: "),
    (dict(b=3.5), TypeError, "^b: "),
    (dict(text=3), TypeError, "text"),
    (dict(seed="x"), TypeError, "seed"),
    (dict(temperature=None), TypeError, "temperature"),
    (dict(topk=-1), ValueError, "topk"),
    (dict(names=("a", "a")), ValueError, "names"),
    (dict(a=lambda text, seed: [[1.5]]), TypeError, "tokens"),
    (dict(a=lambda text, seed: [1, 2]), ValueError, "tokens"),
])
def test_what_cannot_be_run_is_refused(arguments, error, names):
    given = dict(a=lambda text, seed: [[1]], b=lambda text, seed: [[1]], text="x")
    with pytest.raises(error, match=names):
        capture_tokens(**given | arguments)


def test_what_is_no_analysis_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_token_analysis(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="tokens"):
        analyze_distributions("abc".split(), [[1]], verbose=False)
    with pytest.raises(ValueError, match="tokens"):
        analyze_distributions([[[1]], [[2]]], [[1]], verbose=False)


def test_samplers_are_compared():
    logits = np.random.default_rng(1).normal(size=(4, 100)).astype(np.float32)
    drawn = compare_sampling_implementations(logits, rounds=20)
    assert {name: tokens.shape for name, tokens in drawn.items()} == {
        "sesame": (20, 4), "transformers": (20, 4), "csm-mlx": (20, 4)}
    assert np.array_equal(drawn["sesame"], drawn["transformers"])  # in float32 they are one
