# SPDX-License-Identifier: Apache-2.0
"""Capture the tokens of two implementations, and compare them.

    results = capture_tokens(pt_model, mlx_model, "Hello world")
    analyze_distributions(results['pytorch']['tokens'], results['mlx']['tokens'])
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _csm
from ..model import FRAME_MS, Model, Segment
from .command import COMMAND

# What an implementation gave: tokens int32 [frames, codebooks]; audio float32 [n_samples] or
# None; logits float32 [frames, codebooks, vocab] or None; margins float32 or None.
Capture = dict[str, Any]


def capture_tokens(a: Any, b: Any, text: str, *, speaker: int = 0,
                   context: Sequence[Segment] = (), seed: int = 42, temperature: float = 0.9,
                   topk: int = 50, max_audio_length_ms: float = 10_000, processor: Any = None,
                   names: tuple[str, str] = ("pytorch", "mlx"),
                   verbose: bool = False) -> dict[str, Capture]:
    """Run two implementations on the same text, seed and settings.

    Parameters
    ----------
    a, b : each a model directory, a csm.Model, a transformers CsmForConditionalGeneration,
        Sesame's Generator, a csm-mlx CSM, an mlx-audio Sesame model, or a function
        (text, seed) -> tokens [frames, codebooks] or a dictionary as below
    processor : of the transformers model; None loads it from where the model came from
    names : keys of the result for a and b

    Returns
    -------
    {'pytorch': {'tokens', 'audio', 'logits', 'margins'}, 'mlx': {...}}; what an
    implementation does not give is None
    """
    settings = {"text": text, "speaker": speaker, "context": context, "seed": seed,
                "temperature": temperature, "topk": topk,
                "max_audio_length_ms": max_audio_length_ms}
    results = {}
    for name, source in zip(names, (a, b), strict=True):
        capture = _capturer(source, processor)(**settings)
        results[name] = capture
        if verbose:
            print(f"{name}: {capture['tokens'].shape[0]} frames of "
                  f"{capture['tokens'].shape[1]} codes", file=sys.stderr)
    return results


def analyze_distributions(pt_tokens: Any, mlx_tokens: Any, *, verbose: bool = True,
                          figure: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Compare two streams of tokens; print the report and return it.

    Parameters
    ----------
    pt_tokens, mlx_tokens : integer [frames, codebooks], or a capture or token file's path
    figure : write histograms there (needs matplotlib)

    Returns
    -------
    What `csm analyze A B --json` prints: verdict, explanation, first_divergence, similarity,
    overlap, and the same for each codebook
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [_as_file(tokens, pathlib.Path(folder) / f"{side}.safetensors")
                 for side, tokens in (("a", pt_tokens), ("b", mlx_tokens))]
        if verbose:
            print(_analyze(*paths))
        report = json.loads(_analyze(*paths, "--json"))
    if figure is not None:
        _draw(_tokens_of(pt_tokens), _tokens_of(mlx_tokens), figure)
    return report


def save_token_analysis(results: dict[str, Capture], directory: str | os.PathLike[str]) -> None:
    """Write each capture as a token file, directory/NAME.safetensors."""
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for name, capture in results.items():
        _as_file(capture, folder / f"{name}.safetensors")


def load_token_analysis(directory: str | os.PathLike[str]) -> dict[str, Capture]:
    """Read what save_token_analysis wrote; also the token files of the csm command."""
    captures = {}
    for path in sorted(pathlib.Path(directory).glob("*.safetensors")):
        arrays = _csm.read_tensors(os.fspath(path))
        captures[path.stem] = {"tokens": arrays.pop("codes"), "audio": arrays.get("audio"),
                               "logits": arrays.get("logits"), "margins": arrays.get("margins")}
    return captures


def compare_sampling_implementations(logits: Any, topk: int = 50, temperature: float = 0.9,
                                     seed: int = 42, rounds: int = 100) -> dict[str, np.ndarray]:
    """Draw from the same logits as PyTorch and as MLX would.

    Parameters
    ----------
    logits : float32 [rows, vocab]
    rounds : how often each row is drawn

    Returns
    -------
    {'sesame', 'transformers', 'csm-mlx'}: int32 [rounds, rows]
    """
    logits = np.atleast_2d(np.ascontiguousarray(logits, np.float32))
    drawn = {}
    for kind, stream in (("sesame", "torch-cpu"), ("transformers", "torch-cpu"),
                         ("csm-mlx", "mlx")):
        sampler = _csm.Sampler(kind, stream, seed=seed, temperature=temperature, top_k=topk)
        drawn[kind] = np.array([[sampler.draw(row)[0][0, 0] for row in logits]
                                for _ in range(rounds)], np.int32)
    return drawn


# ---- sources of tokens --------------------------------------------------------


def _capturer(source: Any, processor: Any) -> Callable[..., Capture]:
    """How to run what the caller handed over; recognised without importing its library."""
    kind = type(source)
    module = kind.__module__
    if isinstance(source, (str, os.PathLike)):
        return _of_model(Model(source))
    if isinstance(source, Model):
        return _of_model(source)
    if kind.__name__ == "CsmForConditionalGeneration":
        return _of_transformers(source, processor)
    if hasattr(source, "_model") and hasattr(source._model, "generate_frame"):
        return _of_sesame(source)
    if module.startswith("csm_mlx"):
        return _of_csm_mlx(source)
    if module.startswith("mlx_audio"):
        return _of_mlx_audio(source)
    if callable(source):
        return _of_function(source)
    raise TypeError(f"capture_tokens: cannot run a {module}.{kind.__qualname__}")


def _capture(tokens: Any, audio: Any = None, logits: Any = None, margins: Any = None) -> Capture:
    return {"tokens": np.ascontiguousarray(tokens, np.int32), "audio": audio, "logits": logits,
            "margins": margins}


def _of_model(model: Model) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        speech = model.speak(text, speaker, context, max_audio_length_ms, temperature, topk,
                             logits=True, seed=seed)
        return _capture(speech.tokens, speech.audio, speech.logits, speech.margins)

    return run


def _of_transformers(model: Any, processor: Any) -> Callable[..., Capture]:
    import torch

    if processor is None:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(model.config._name_or_path)

    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        turns = [{"role": str(segment.speaker),
                  "content": [{"type": "text", "text": segment.text},
                              {"type": "audio", "audio": np.asarray(segment.audio)}]}
                 for segment in context]
        turns.append({"role": str(speaker), "content": [{"type": "text", "text": text}]})
        inputs = processor.apply_chat_template(turns, tokenize=True, return_dict=True,
                                               return_tensors="pt").to(model.device)
        heads: list[Any] = []

        def record(_module: Any, _inputs: Any, output: Any) -> None:
            heads.append(output[:, -1].float().cpu().numpy())

        hooks = [model.lm_head.register_forward_hook(record),
                 model.depth_decoder.codebooks_head.register_forward_hook(record)]
        try:
            torch.manual_seed(seed)
            codes = model.generate(
                **inputs, do_sample=True, temperature=temperature, top_k=topk,
                depth_decoder_do_sample=True, depth_decoder_temperature=temperature,
                depth_decoder_top_k=topk, max_new_tokens=int(max_audio_length_ms / FRAME_MS))
        finally:
            for hook in hooks:
                hook.remove()
        tokens = codes[0].cpu().numpy()
        n_codebooks = tokens.shape[1]
        logits = np.concatenate(heads).reshape(-1, n_codebooks, heads[0].shape[-1])
        sound = _sound_frames(tokens)
        with torch.no_grad():
            decoded = model.codec_model.decode(codes[:, :sound].transpose(1, 2)).audio_values
        return _capture(tokens[:sound], decoded[0, 0].float().cpu().numpy(), logits[:sound])

    return run


def _of_sesame(generator: Any) -> Callable[..., Capture]:
    import torch

    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        model = generator._model
        models = sys.modules[type(model).__module__]
        frames: list[Any] = []
        rows: list[Any] = []
        generate_frame, sample_topk = model.generate_frame, models.sample_topk

        def recorded_frame(*args: Any, **kwargs: Any) -> Any:
            frame = generate_frame(*args, **kwargs)
            frames.append(frame[0].cpu().numpy())
            return frame

        def recorded_topk(logits: Any, *args: Any, **kwargs: Any) -> Any:
            rows.append(logits[0].float().cpu().numpy())
            return sample_topk(logits, *args, **kwargs)

        model.generate_frame, models.sample_topk = recorded_frame, recorded_topk
        try:
            torch.manual_seed(seed)
            audio = generator.generate(text=text, speaker=speaker, context=list(context),
                                       max_audio_length_ms=max_audio_length_ms,
                                       temperature=temperature, topk=topk)
        finally:
            model.generate_frame, models.sample_topk = generate_frame, sample_topk
        return _recorded(np.array(frames), rows, audio.float().cpu().numpy())

    return run


class _RecordingSampler:
    """A sampler in the sense of mlx-lm that keeps what it saw and drew."""

    def __init__(self, temperature: float, topk: int) -> None:
        from mlx_lm.sample_utils import make_sampler

        self._sampler = make_sampler(temperature, top_k=topk)
        self.rows: list[np.ndarray] = []
        self.tokens: list[int] = []

    def __call__(self, logprobs: Any) -> Any:
        import mlx.core as mx

        token = self._sampler(logprobs)
        self.rows.append(np.array(logprobs.astype(mx.float32)).reshape(-1))
        self.tokens.append(int(token.item()))
        return token


def _of_csm_mlx(model: Any) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        import importlib

        import mlx.core as mx

        package = importlib.import_module(type(model).__module__.partition(".")[0])
        sampler = _RecordingSampler(temperature, topk)
        turns = [package.Segment(speaker=segment.speaker, text=segment.text,
                                 audio=mx.array(segment.audio)) for segment in context]
        mx.random.seed(seed)
        audio = package.generate(model, text=text, speaker=speaker, context=turns,
                                 max_audio_length_ms=max_audio_length_ms, sampler=sampler)
        frames = np.array(sampler.tokens, np.int32).reshape(-1, model.n_audio_codebooks)
        return _recorded(frames, sampler.rows, np.array(audio))

    return run


def _of_mlx_audio(model: Any) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        import mlx.core as mx

        sampler = _RecordingSampler(temperature, topk)
        mx.random.seed(seed)
        pieces = [np.array(result.audio) for result in model.generate(
            text, speaker=speaker, context=list(context), split_pattern=None, sampler=sampler,
            max_audio_length_ms=max_audio_length_ms)]
        n_codebooks = model.model.args.audio_num_codebooks
        frames = np.array(sampler.tokens, np.int32).reshape(-1, n_codebooks)
        return _recorded(frames, sampler.rows, np.concatenate(pieces))

    return run


def _of_function(function: Callable[[str, int], Any]) -> Callable[..., Capture]:
    def run(text: str, seed: int, **_: Any) -> Capture:
        given = function(text, seed)
        return _capture(**given) if isinstance(given, dict) else _capture(given)

    return run


def _sound_frames(frames: np.ndarray) -> int:
    """How many frames come before the one of zeros that ends speech."""
    ends = np.flatnonzero(~frames.any(axis=1))
    return int(ends[0]) if ends.size else len(frames)


def _recorded(frames: np.ndarray, rows: list[np.ndarray], audio: np.ndarray) -> Capture:
    sound = _sound_frames(frames)
    logits = np.array(rows, np.float32).reshape(*frames.shape, -1)
    return _capture(frames[:sound], audio, logits[:sound])


# ---- files and reports --------------------------------------------------------


def _tokens_of(source: Any) -> np.ndarray:
    if isinstance(source, (str, os.PathLike)):
        return _csm.read_tensors(os.fspath(source))["codes"]
    tokens = np.asarray(source["tokens"] if isinstance(source, dict) else source)
    if tokens.ndim == 3 and tokens.shape[0] == 1:
        tokens = tokens[0]
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise ValueError("tokens: expected integers [frames, codebooks], not "
                         f"{tokens.dtype} {list(tokens.shape)}")
    return np.ascontiguousarray(tokens, np.int32)


def _as_file(source: Any, path: pathlib.Path) -> str:
    """A token file of what the caller handed over; a path stays what it is."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    arrays = {"codes": _tokens_of(source)}
    if isinstance(source, dict):
        for name in ("logits", "margins", "audio"):
            if source.get(name) is not None:
                arrays[name] = np.ascontiguousarray(source[name], np.float32)
    _csm.write_tensors(os.fspath(path), arrays, {})
    return os.fspath(path)


def _analyze(*arguments: str) -> str:
    """Run `csm analyze`; that the streams differ (1) is an answer, not a failure."""
    done = subprocess.run([COMMAND, "analyze", *arguments], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise ValueError(done.stderr.strip())
    return done.stdout


def _draw(a: np.ndarray, b: np.ndarray, path: str | os.PathLike[str]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(10, 6), sharex=True, layout="constrained")
    for axis, tokens, label in zip(axes, (a, b), ("a", "b"), strict=True):
        axis.hist(tokens.ravel(), bins=128)
        axis.set_ylabel(f"{label}: count")
    axes[1].set_xlabel("token")
    figure.savefig(path)
    plt.close(figure)
