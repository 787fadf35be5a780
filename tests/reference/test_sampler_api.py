# SPDX-License-Identifier: Apache-2.0
"""What csm/sampling.h and csm/experimental.h have beyond csm sample, against PyTorch, transformers
and MLX, live: the repetition penalty, several samples without replacement, greedy, keys."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from sampler_api import Library
from sampling_reference import DTYPES, rows, torch_dtype

torch.set_num_threads(1)
ROUNDS = 20


@pytest.fixture(scope="module")
def library(build_dir):
    return Library(build_dir)


@pytest.fixture(scope="module")
def processors():
    """The chain that generate() itself puts together of its settings."""
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=2, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1))

    def chain(**settings):
        config = GenerationConfig(do_sample=True, **settings)
        return model._get_logits_processor(generation_config=config, input_ids_seq_length=1)

    return chain


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("penalty, k, t, top_p, min_p", [
    (1.3, 50, 0.9, 1.0, 0.0), (1.05, 2051, 1.0, 1.0, 0.0), (0.7, 20, 0.5, 0.9, 0.0),
    (5.0, 50, 1.2, 0.8, 0.05), (1.1, 1000, 5.0, 1.0, 0.1),
])
@pytest.mark.parametrize("vocab, batch", [(2051, 1), (2051, 4), (100, 8)])
def test_the_repetition_penalty_of_transformers(library, processors, dtype, vocab, batch, penalty,
                                                k, t, top_p, min_p):
    n = 16
    x = rows(vocab, n, vocab)
    # The most probable ids and any others, some of them twice.
    best = np.argsort(-x, axis=1)[:, :12]
    other = np.random.default_rng(1).integers(0, vocab, (n, 12))
    history = np.concatenate([best, other, best[:, :5]], axis=1).astype(np.int32)

    sampler = library.sampler(dtype=dtype, seed=42, temperature=t, top_k=k, top_p=top_p,
                              min_p=min_p, repetition_penalty=penalty)
    chain = processors(repetition_penalty=penalty, temperature=t, top_k=k, top_p=top_p,
                       min_p=min_p or None)
    torch.manual_seed(42)
    for _ in range(ROUNDS):
        for at in range(0, n, batch):
            few, ids = x[at:at + batch], history[at:at + batch].copy()
            sampler.set_history(ids)
            scores = chain(torch.from_numpy(ids).long(),
                           torch.from_numpy(few).to(torch_dtype(dtype)).float())
            want = torch.multinomial(torch.softmax(scores, dim=-1), 1)[:, 0]
            assert np.array_equal(sampler.draw(few), want.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocab, batch, k, n_samples", [
    (2051, 0, 50, 50), (2051, 4, 50, 10), (2051, 1, 0, 200), (300, 0, 0, 1), (300, 8, 0, 16),
    (5, 0, 0, 5), (5, 16, 4, 3),
])
def test_several_samples_without_replacement(library, processors, dtype, vocab, batch, k,
                                             n_samples):
    """batch 0: torch gets a tensor of one dimension. Some rows have fewer tokens of any
    probability than samples; torch.multinomial ends with the others."""
    n = 16
    x = rows(vocab, n, vocab)
    x[x == -np.inf] = -8  # else fewer than n_samples may be left
    sampler = library.sampler(dtype=dtype, seed=7, temperature=3.0, top_k=k)
    chain = processors(temperature=3.0, top_k=k)
    torch.manual_seed(7)
    for _ in range(ROUNDS):
        for at in range(0, n, batch or 1):
            few = x[at:at + (batch or 1)]
            scores = chain(None, torch.from_numpy(few).to(torch_dtype(dtype)).float())
            probs = torch.softmax(scores, dim=-1)
            want = torch.multinomial(probs if batch else probs[0], n_samples, replacement=False)
            got = sampler.draw_several(few, n_samples)
            assert np.array_equal(got, want.reshape(got.shape).numpy())


def test_more_samples_than_tokens_are_refused(library):
    sampler = library.sampler(top_k=3)
    x = rows(100, 1, 1)
    with pytest.raises(ValueError, match="samples: 4, row 0 has 3 tokens"):
        sampler.draw_several(x, 4)
    torch.manual_seed(0)  # the stream has not moved
    want = torch.multinomial(torch.softmax(torch.from_numpy(x) / 0.9, -1), 1)
    assert np.array_equal(library.sampler(top_k=0).draw(x), want[:, 0].numpy())


@pytest.mark.parametrize("vocab", [1, 2, 7, 2051])
def test_greedy_is_argmax(library, vocab):
    x = rows(vocab, 64, vocab)
    assert np.array_equal(library.greedy(x), torch.from_numpy(x).argmax(-1).numpy())


@pytest.mark.parametrize("seed", [0, 42, 2**40 + 7, 2**64 - 1])
def test_mlxs_keys_are_mlxs(library, seed):
    """MLX's bits have no function in Python; its split is the bits of two numbers a key."""
    ours, key = library.mlx_key(seed), mx.random.key(seed)
    assert np.array_equal(ours, np.array(key))
    for n in 1, 2, 3, 7, 2051:
        split = np.array(mx.random.split(key, n))
        assert np.array_equal(library.mlx_random("split", ours, n), split)
        assert np.array_equal(library.mlx_random("bits", ours, 2 * n), split.ravel())
        assert np.array_equal(library.mlx_random("uniform", ours, n), np.array(mx.random.uniform(shape=(n,), key=key)))
        assert np.array_equal(library.mlx_random("gumbel", ours, n), np.array(mx.random.gumbel((n,), key=key)))
