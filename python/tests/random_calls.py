# SPDX-License-Identifier: Apache-2.0
"""Every public function of the package, called at random: each call returns, or raises an
exception that a caller can expect. Run over a module built with sanitizers:

    python python/tests/random_calls.py N SEED MODULE.so CSM_COMMAND

tests/long/python-calls builds one and calls this. NumPy alone is imported, so that what a
sanitizer says is about our code.
"""

import array
import collections
import importlib.util
import os
import pathlib
import random
import sys
import tempfile
import warnings

import numpy as np

n_calls, seed, module_file, command = (int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
spec = importlib.util.spec_from_file_location("csm._csm", module_file)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])

import csm
from csm.cli import token_analyzer
from csm.cli.mlx_sample_exact import mlx_sample_exact

token_analyzer.COMMAND = pathlib.Path(command).resolve()
warnings.simplefilter("ignore")  # NumPy's about NaN
EXPECTED = (TypeError, ValueError, OSError, MemoryError)
MODEL_DIR = ROOT / "tests" / "golden" / "csm-a"
folder = pathlib.Path(tempfile.mkdtemp())
os.chdir(folder)  # where files of odd names may go
r = random.Random(seed)
numbers = np.random.default_rng(seed)


class Dlpack:
    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


def some_array():
    shape = tuple(r.choice((0, 1, 2, 3, 8, 40)) for _ in range(r.randrange(4)))
    values = np.asarray(numbers.normal(size=shape) * 3)
    kind = r.choice(("f4", "f4", "f2", "f8", ">f4", "i4", "i8", "u1", "?", "c8", "O", "U2", "M8[s]"))
    with np.errstate(all="ignore"):
        values = values.astype("i8").astype(kind) if kind == "M8[s]" else values.astype(kind)
    if values.size and kind in ("f4", "f2", "f8") and r.random() < 0.2:
        values.flat[r.randrange(values.size)] = r.choice((np.nan, np.inf, -np.inf))
    if r.random() < 0.3:
        values = np.asarray(values.T)
    if r.random() < 0.2:
        values = values[::-1] if values.ndim else values
    if r.random() < 0.2:
        values.flags.writeable = False
    return Dlpack(values) if r.random() < 0.1 else values


def junk():
    return r.choice((
        None, "x", "", "a\0b", "\ud800", b"x", b"", bytearray(5), 3.7, -1, 0, 2**31, 2**64, 2**70,
        float("nan"), float("inf"), -0.0, 1e-320, True, [], {}, (), object(), len, np.float32(3),
        np.int64(-5), [[1, 2], [3]], array.array("f", [1, 2, 3]), memoryview(b"abcd"),
        np.zeros((2**40, 0), np.float32), np.zeros((2**40, 0), np.int32), "/nonexistent",
        pathlib.Path("/dev/null"), csm.Segment(0, "x"), some_array()))


def maybe(value, chance=0.85):
    return value() if r.random() < chance else junk()


def logits():
    rows = numbers.normal(size=(r.randrange(1, 4), r.choice((1, 2, 50, 2051)))) * 4
    return rows.astype(r.choice((np.float32, np.float16))) if r.random() < 0.8 else some_array()


def samples():
    return (numbers.normal(size=r.choice((1, 1919, 1920, 5000))) / 9).astype(np.float32)


def codes(most=1027, n_codebooks=8):
    return numbers.integers(0, most, size=(r.randrange(0, 4), n_codebooks), dtype=np.int32)


def segment():
    if r.random() < 0.5:
        return csm.Segment(maybe(lambda: 1), maybe(lambda: "Hi."), maybe(samples))
    return csm.Segment(maybe(lambda: 1), maybe(lambda: "Hi."), codes=maybe(codes))


def seed_():
    return maybe(lambda: r.choice((0, 42, -1, 2**64 - 1)))


def options():
    given = {}
    for name, value in (("speaker", lambda: 0), ("seed", seed_),
                        ("context", lambda: [maybe(segment)]), ("temperature", lambda: 0.9),
                        ("topk", lambda: 50), ("depth_temperature", lambda: 0.5),
                        ("depth_topk", lambda: 5), ("strategy", lambda: "exact"),
                        ("stream", lambda: "torch-cpu"), ("sampler", lambda: "sesame"),
                        ("dtype", lambda: "bf16"), ("mlx_version", lambda: None),
                        ("top_p", lambda: 0.9), ("min_p", lambda: 0.1),
                        ("depth_top_p", lambda: 0.9), ("depth_min_p", lambda: 0.1),
                        ("voice", lambda: None), ("min_audio_length_ms", lambda: 80),
                        ("sentences", lambda: True), ("normalize", lambda: True),
                        ("guard", lambda: True), ("tempreature", lambda: 1)):
        if r.random() < 0.12:
            given[name] = maybe(value)
    return given | {"max_audio_length_ms": maybe(lambda: r.choice((80, 160, 1e9)), 0.95)}


samplers = []


def make_sampler():
    sampler = csm.Sampler(maybe(lambda: r.choice(("sesame", "transformers", "csm-mlx"))),
                          maybe(lambda: r.choice(("torch-cpu", "torch-cuda", "mlx"))),
                          dtype=maybe(lambda: r.choice(("f32", "bf16", "f16"))),
                          seed=maybe(lambda: 3, 0.95), temperature=maybe(lambda: 0.9, 0.95),
                          top_k=maybe(lambda: 50, 0.95), top_p=maybe(lambda: 0.0, 0.95))
    samplers[:] = [sampler, *samplers[:5]]
    return sampler


def use_sampler():
    sampler = r.choice(samplers) if samplers else csm.Sampler()
    use = r.randrange(4)
    if use == 0:
        sampler.draw(maybe(logits))
    elif use == 1:
        sampler.set_temperature(maybe(lambda: 0.8))
    elif use == 2:
        sampler.set_top_k(maybe(lambda: 20))
    else:
        sampler.position = maybe(lambda: r.randrange(10_000))


model = csm.Model(MODEL_DIR, engine="native", threads=1)
closed = csm.Model(MODEL_DIR, engine="native", threads=1)
closed.close()
streams = []


def a_model():
    return model if r.random() < 0.95 else closed


def step():
    streams[:] = [a_model().stream(maybe(lambda: "Hi."), **options()), *streams[:2]]
    for _ in range(2):
        next(r.choice(streams), None)


def captured():
    return token_analyzer.capture_tokens(
        maybe(a_model), maybe(lambda: lambda text, seed: maybe(codes)),
        maybe(lambda: "Hi."), seed=seed_(), temperature=maybe(lambda: 0.9),
        topk=maybe(lambda: 50), context=maybe(lambda: r.choice(([], [segment()])), 0.95),
        max_audio_length_ms=maybe(lambda: 160))


def save_and_load():
    results = {"a": {"tokens": maybe(codes), "logits": maybe(lambda: None),
                     "margins": maybe(lambda: None), "audio": maybe(samples),
                     "settings": {"seed": "1"}}}
    where = maybe(lambda: folder / str(r.randrange(5)))
    token_analyzer.save_token_analysis(results, where)
    token_analyzer.load_token_analysis(where)


CALLS = {
    mlx_sample_exact: (30, lambda: mlx_sample_exact(
        maybe(logits), maybe(lambda: 1), maybe(lambda: 0.9), seed_())),
    csm.Sampler: (10, make_sampler),
    csm.Sampler.draw: (15, use_sampler),
    csm.noise: (5, lambda: csm.noise(
        maybe(lambda: "torch-cuda"), maybe(lambda: "bf16"), maybe(lambda: 3), maybe(lambda: 2),
        maybe(lambda: r.choice((40, 2**62))), maybe(lambda: 4))),
    csm.draw_is_certain: (2, lambda: csm.draw_is_certain(maybe(lambda: 1.0), maybe(lambda: 0.1))),
    csm.Model: (3, lambda: csm.Model(
        maybe(lambda: MODEL_DIR), engine=maybe(lambda: "native"), dtype=maybe(lambda: "stored"),
        strategy=maybe(lambda: "exact"), threads=maybe(lambda: 1), device=maybe(lambda: None),
        codec_engine=maybe(lambda: None)).info),
    csm.Model.generate: (6, lambda: a_model().generate(maybe(lambda: "Hi."), **options())),
    csm.Model.speak: (6, lambda: a_model().speak(maybe(lambda: "Hi."), logits=True, **options())),
    csm.Model.stream: (6, step),
    csm.Model.tokenize: (6, lambda: a_model().tokenize(maybe(lambda: "Hi."), maybe(lambda: 1))),
    csm.Model.encode: (6, lambda: a_model().encode(maybe(samples), maybe(
        lambda: r.choice((None, 8000, 48000))))),
    csm.Model.decode: (8, lambda: a_model().decode(maybe(lambda: codes(1024)))),
    token_analyzer.capture_tokens: (3, captured),
    token_analyzer.save_token_analysis: (5, save_and_load),
    token_analyzer.analyze_distributions: (1, lambda: token_analyzer.analyze_distributions(
        maybe(codes), maybe(codes), verbose=False)),
    token_analyzer.compare_sampling_implementations: (
        3, lambda: token_analyzer.compare_sampling_implementations(
            maybe(logits), maybe(lambda: 5), maybe(lambda: 0.9), seed_(), maybe(lambda: 2))),
}

outcomes = collections.defaultdict(collections.Counter)
functions, weights = list(CALLS), [weight for weight, _ in CALLS.values()]
for i in range(n_calls):
    function = r.choices(functions, weights)[0]
    try:
        CALLS[function][1]()
        outcomes[function]["returned"] += 1
    except EXPECTED as error:
        assert str(error), f"call {i} of seed {seed}: {function.__qualname__}: no message"
        outcomes[function]["refused"] += 1
    except BaseException:
        print(f"reproduce: call {i} of seed {seed}: {function.__qualname__}", flush=True)
        raise

for function, counts in outcomes.items():
    print(f"{function.__qualname__:34} returned {counts['returned']:5}  refused {counts['refused']:5}")
    if n_calls >= 5000:
        assert min(counts["returned"], counts["refused"]) > 0, function
print(f"{n_calls} calls, seed {seed}: no crash")
