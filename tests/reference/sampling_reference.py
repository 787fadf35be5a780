# SPDX-License-Identifier: Apache-2.0
"""The samplers that csm reproduces, as their own programs run them."""

import dataclasses
import importlib.util
import math

import numpy as np
from safetensors.numpy import load_file, save_file

DTYPES = ("f32", "bf16", "f16")


@dataclasses.dataclass(frozen=True)
class Case:
    """One run: rows of logits, gone over `rounds` times, `batch` rows a call."""

    vocab: int
    rows: int = 64
    rounds: int = 1
    batch: int = 1
    k: int = 50
    t: float = 0.9
    top_p: float = 0.0
    min_p: float = 0.0
    top_h: float = 0.0
    typical_p: float = 0.0
    epsilon: float = 0.0
    eta: float = 0.0
    seed: int = 42

    @property
    def draws(self):
        return self.rows * self.rounds


def rows(vocab, n, seed):
    """Rows of every sort: ties, -inf, denormals, peaked, shifted, huge, all equal."""
    r = np.random.default_rng(seed)
    x = (r.standard_normal((n, vocab)) * r.choice([1.0, 2.0, 4.0], size=(n, 1))).astype(np.float32)
    x[1::8] = np.round(x[1::8] * 4) / 4
    x[2::16] = np.round(x[2::16])
    x[3::16] *= 12
    if vocab > 3:
        x[4::16, ::3] = -np.inf
    x[5::16] += 30
    x[6::32] *= np.float32(1e-39)
    x[7::32] = 0.5
    x[8::32] *= 100
    return x


def scaled(cases, draws):
    """The cases with as many rounds as make `draws` draws in all, or a few more; those over
    large vocabularies get fewer, so that no case takes all of the time."""
    weights = [min(1.0, 2500 / c.vocab) for c in cases]
    each = draws / sum(weights)
    return [dataclasses.replace(c, rounds=math.ceil(each * w / c.rows))
            for c, w in zip(cases, weights)]


def csm_sample(csm, tmp_path, case, x, dtype, sampler, *extra, probs=False):
    """The tensors that csm sample writes."""
    logits, out = tmp_path / "logits.safetensors", tmp_path / "out.safetensors"
    save_file({"x": x}, logits)
    csm("sample", logits, "--tensor", "x", "--sampler", sampler, "--dtype", dtype,
        "--seed", case.seed, "--topk", case.k, "--temperature", case.t, "--top-p", case.top_p,
        "--min-p", case.min_p, "--top-h", case.top_h, "--typical-p", case.typical_p,
        "--epsilon-cutoff", case.epsilon, "--eta-cutoff", case.eta, "--rounds", case.rounds, "--batch", case.batch, "--output", out,
        *(["--save-probs"] if probs else []), *extra)
    return load_file(out)


# Vocabularies of 2 to 128256, k from 1 to all, temperatures from 0.05 to 5.
PLAIN = [
    Case(2051), Case(2051, k=5, t=0.5), Case(2051, k=0, t=1.0), Case(2051, k=1000, t=5.0),
    Case(2051, batch=16), Case(1027, k=50, t=0.7), Case(2, k=0, t=0.05), Case(3, k=2, t=1.2),
    Case(10, k=1, t=1.0), Case(15, k=0, t=2.0, batch=8), Case(16, k=4), Case(31, k=30, batch=8),
    Case(33, k=0), Case(100, k=50, batch=32, seed=7), Case(257, k=17, t=0.3, batch=8),
    Case(1000, k=1000, t=5.0, batch=16, seed=(1 << 40) + 7),
    Case(4096, k=64, batch=16), Case(32000, rows=16, k=50, batch=8), Case(128256, rows=8, k=40),
    Case(128256, rows=8, k=0, batch=2),
]
WARPED = [
    Case(64, k=50, top_p=0.9), Case(2051, k=50, top_p=0.9), Case(2051, k=0, min_p=0.05),
    Case(2051, k=20, t=0.7, top_p=0.8, min_p=0.02), Case(1000, k=50, batch=16, min_p=0.1),
    Case(100, k=40, t=1.3, top_p=0.5, batch=8),
]
CUT = [
    Case(2051, typical_p=0.9), Case(2051, k=0, t=1.0, typical_p=0.2), Case(2051, epsilon=3e-4),
    Case(2051, k=0, epsilon=0.05, batch=8), Case(2051, eta=2e-3), Case(1027, k=0, eta=0.3),
    Case(2051, k=0, top_h=0.4), Case(100, k=40, t=1.3, top_h=0.9, batch=4),
    Case(5, k=0, typical_p=0.5, eta=0.1), Case(16, top_h=0.7, typical_p=0.9, batch=2),
    Case(2051, k=40, top_h=0.95, top_p=0.9, min_p=0.01, typical_p=0.9, epsilon=1e-3, eta=1e-3),
]


def case_rows(case):
    return rows(case.vocab, case.rows, case.vocab)


def assert_none_differs(what, cases, ours, theirs, logits=case_rows):
    """Says how many draws were compared, and how many of them differ: none may. `ours` and
    `theirs` turn a case and its logits [rows, vocab] into tokens [rounds, rows]."""
    wrong = {}
    for case in cases:
        x = logits(case)
        if n := int((ours(case, x) != theirs(case, x)).sum()):
            wrong[case] = n
    print(f"{what}: {sum(c.draws for c in cases)} draws, {sum(wrong.values())} differ", flush=True)
    assert not wrong


# ---- PyTorch ----------------------------------------------------------------


def torch_dtype(dtype):
    import torch

    return {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[dtype]


def sesame_probs(x, case):
    """sample_topk of Sesame's models.py, up to the probabilities."""
    import torch

    x = x / case.t
    k = min(case.k, x.shape[-1]) or x.shape[-1]
    x = x.masked_fill(x < torch.topk(x, k)[0][..., -1, None], -float("inf"))
    x = torch.nn.functional.log_softmax(x, dim=-1)
    return torch.nn.functional.softmax(x, dim=-1)


def sesame_draw(probs):
    """multinomial_sample_one_no_sync of Sesame's models.py."""
    import torch

    q = torch.empty_like(probs).exponential_(1)
    return torch.argmax(probs / q, dim=-1)


def warpers(case):
    """transformers' own, in the order in which generate() puts them."""
    from transformers import generation

    found = []
    if case.t != 1.0:
        found.append(generation.TemperatureLogitsWarper(case.t))
    if case.top_h:
        found.append(generation.TopHLogitsWarper(case.top_h))
    if case.k:
        found.append(generation.TopKLogitsWarper(case.k))
    if 0 < case.top_p < 1:
        found.append(generation.TopPLogitsWarper(case.top_p))
    if case.min_p:
        found.append(generation.MinPLogitsWarper(case.min_p))
    if case.typical_p:
        found.append(generation.TypicalLogitsWarper(case.typical_p))
    if case.epsilon:
        found.append(generation.EpsilonLogitsWarper(case.epsilon))
    if case.eta:
        found.append(generation.EtaLogitsWarper(case.eta))
    return found


def transformers_probs(x, case, chain):
    import torch

    x = x.to(torch.float32)
    for warper in chain:
        x = warper(None, x)
    return torch.nn.functional.softmax(x, dim=-1)


def transformers_draw(probs):
    import torch

    return torch.multinomial(probs, num_samples=1).squeeze(1)


def torch_tokens(x, case, dtype, sampler, device="cpu"):
    """[rounds, rows] after one torch.manual_seed. Probabilities take nothing from the generator
    and are those of every round: computed once."""
    import torch

    x = torch.from_numpy(x).to(device).to(torch_dtype(dtype))
    calls = [x[at:at + case.batch].clone() for at in range(0, case.rows, case.batch)]
    if sampler == "sesame":
        calls = [sesame_probs(rows, case) for rows in calls]
        draw = sesame_draw
    else:
        calls = [transformers_probs(rows, case, warpers(case)) for rows in calls]
        draw = transformers_draw
    torch.manual_seed(case.seed)
    drawn = [draw(probs) for _ in range(case.rounds) for probs in calls]
    return torch.cat(drawn).reshape(case.rounds, case.rows).cpu().numpy()


# ---- MLX --------------------------------------------------------------------


def load_sample_utils():
    """mlx_lm.sample_utils alone: the package itself wants transformers."""
    package = importlib.util.find_spec("mlx_lm").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("sample_utils", f"{package}/sample_utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mlx_tokens(x, case, dtype, sampler):
    """[rounds, rows] after one mx.random.seed. What reaches mlx-lm's last step, the draw, takes
    nothing from the generator and is that of every round: computed once."""
    import mlx.core as mx

    utils = load_sample_utils()
    draw, utils.categorical_sampling = utils.categorical_sampling, lambda x, temp: x
    k = case.k if case.k < case.vocab else 0
    warp = utils.make_sampler(temp=case.t, top_p=case.top_p, min_p=case.min_p, top_k=k)
    x = mx.array(x).astype({"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}[dtype])
    calls = [x[at:at + case.batch] for at in range(0, case.rows, case.batch)]
    if sampler == "csm-mlx":
        calls = [rows - mx.logsumexp(rows, keepdims=True) for rows in calls]
    calls = [warp(rows) for rows in calls]
    mx.eval(calls)
    mx.random.seed(case.seed)
    drawn = []
    for _ in range(case.rounds):
        drawn += [draw(rows, case.t) for rows in calls]
        mx.eval(drawn[-len(calls):])
    return np.array(mx.concatenate(drawn)).reshape(case.rounds, case.rows)
