# SPDX-License-Identifier: Apache-2.0
"""The documented snippets, on the same small random model in transformers and here."""

import sys
import types

import numpy as np
import pytest
import transformers
from transformers import CsmForConditionalGeneration, CsmProcessor, EncodecFeatureExtractor

from csm.cli.token_analyzer import (analyze_distributions, capture_tokens,
                                    compare_sampling_implementations, load_token_analysis,
                                    save_token_analysis)

# What transformers' converter writes for csm-1b, for turns of text.
TEMPLATE = ("{% for message in messages %}{% for content in message['content'] %}"
            "{% if content['type'] == 'text' %}<|begin_of_text|>[{{ message['role'] }}]"
            "{{ content['text'] }}<|end_of_text|>{% elif content['type'] == 'audio' %}"
            "<|AUDIO|><|audio_eos|>{% endif %}{% endfor %}{% endfor %}")


@pytest.fixture(scope="module")
def pt_model(model_dir):
    return CsmForConditionalGeneration.from_pretrained(model_dir, dtype="float32").eval()


@pytest.fixture(scope="module")
def processor(model_dir):
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(model_dir / "tokenizer.json"), bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>", pad_token="<|AUDIO|>",
        extra_special_tokens={"audio_token": "<|AUDIO|>", "audio_eos_token": "<|audio_eos|>"})
    return CsmProcessor(tokenizer=tokenizer, feature_extractor=EncodecFeatureExtractor(),
                        chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def results(pt_model, processor, model_dir):
    return capture_tokens(pt_model, model_dir, "Hello world", processor=processor,
                          max_audio_length_ms=960)


def test_transformers_and_we_draw_the_same_tokens(results):
    pt_tokens = results['pytorch']['tokens']
    mlx_tokens = results['mlx']['tokens']
    assert pt_tokens.shape == (12, 8)
    assert np.array_equal(pt_tokens, mlx_tokens)
    # f32 on both sides, sums in different orders: csm-reference's figure is 4e-5.
    assert np.abs(results['pytorch']['logits'] - results['mlx']['logits']).max() < 1e-3
    assert results['pytorch']['audio'].shape == results['mlx']['audio'].shape


def test_the_report_says_they_are_the_same(results, capsys):
    report = analyze_distributions(results['pytorch']['tokens'], results['mlx']['tokens'])
    assert report["verdict"] == "same"
    assert report["similarity"] == 1
    assert capsys.readouterr().out


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


def test_a_function_is_a_source_of_tokens():
    results = capture_tokens(lambda text, seed: np.full((3, 4), seed),
                             lambda text, seed: {"tokens": np.full((2, 4), len(text))}, "abc",
                             seed=5, names=("a", "b"))
    assert results["a"]["tokens"].tolist() == [[5] * 4] * 3
    assert results["b"]["tokens"].tolist() == [[3] * 4] * 2


def test_csm_mlx_is_captured_through_its_sampler(monkeypatch):
    """csm-mlx is not on PyPI: its calls restated, a sampler called once a codebook."""
    import mlx.core as mx

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


def test_what_cannot_be_run_is_refused():
    with pytest.raises(TypeError, match="capture_tokens"):
        capture_tokens(3, 4, "x")


def test_samplers_are_compared():
    logits = np.random.default_rng(1).normal(size=(4, 100)).astype(np.float32)
    drawn = compare_sampling_implementations(logits, rounds=20)
    assert {name: tokens.shape for name, tokens in drawn.items()} == {
        "sesame": (20, 4), "transformers": (20, 4), "csm-mlx": (20, 4)}
    assert np.array_equal(drawn["sesame"], drawn["transformers"])  # in float32 they are one
