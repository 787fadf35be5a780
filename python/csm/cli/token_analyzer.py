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
from ..arguments import integer, real
from ..arguments import seed as seed_of
from ..arguments import text as text_of
from ..arrays import DTYPES, as_codes, as_floats
from ..model import FRAME_MS, Model, Segment
from ..sound import as_sound
from .command import COMMAND

# What an implementation gave: tokens int32 [frames, codebooks]; audio float32 [n_samples] or
# None; logits float32 [frames, codebooks, vocab] or None; margins float32 [frames, codebooks]
# or None; settings: a token file's metadata, strings.
Capture = dict[str, Any]

# The metadata that a capture may have (docs/ANALYZER.md).
SETTINGS = ("text", "speaker", "seed", "strategy", "engine", "stream", "sampler", "dtype",
            "temperature", "topk", "model")


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
    {'pytorch': {...}, 'mlx': {...}}, each with
        tokens : int32 [frames, codebooks]
        audio : float32 [n_samples]
        logits : float32 [frames, codebooks, vocab], before temperature; of csm-mlx, whose
            sampler is handed log-probabilities, those
        margins : float32 [frames, codebooks], by how much each draw was won; None where the
            draws are none that we know how to make again from the logits
        settings : strings, as a token file's metadata
    What a function does not give is None.

    Raises
    ------
    TypeError : an argument of the wrong kind, named
    ValueError : out of range, or a segment without audio where only we take codes
    """
    asked: dict[str, Any] = {
        "text": text_of("text", text), "speaker": integer("speaker", speaker),
        "context": list(context), "seed": seed_of("seed", seed),
        "temperature": real("temperature", temperature), "topk": integer("topk", topk, 0),
        "max_audio_length_ms": real("max_audio_length_ms", max_audio_length_ms)}
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names: expected two different keys, not {names}")
    runs = [_capturer(which, source, processor) for which, source in (("a", a), ("b", b))]
    results = {}
    for name, run in zip(names, runs, strict=True):
        capture = run(**asked)
        known = {name: str(asked[name]) for name in SETTINGS if name in asked}
        capture["settings"] = known | capture["settings"]
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
    folder = pathlib.Path(directory)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such directory, expected what save_token_analysis "
                                "wrote")
    captures = {}
    for path in sorted(folder.glob("*.safetensors")):
        arrays = _csm.read_tensors(os.fspath(path))
        captures[path.stem] = _capture(_codes(path, arrays), arrays.get("audio"),
                                       arrays.get("logits"), arrays.get("margins"),
                                       _csm.read_metadata(os.fspath(path), SETTINGS))
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
    rows = np.atleast_2d(as_floats("logits", logits))
    rounds = integer("rounds", rounds, 1)
    topk, temperature = integer("topk", topk, 0), real("temperature", temperature)
    drawn = {}
    for kind, stream in (("sesame", "torch-cpu"), ("transformers", "torch-cpu"),
                         ("csm-mlx", "mlx")):
        sampler = _csm.Sampler(kind, stream, seed=seed_of("seed", seed), temperature=temperature,
                               top_k=topk)
        drawn[kind] = np.array([[sampler.draw(row)[0][0, 0] for row in rows]
                                for _ in range(rounds)], np.int32)
    return drawn


# ---- sources of tokens --------------------------------------------------------


def _capturer(which: str, source: Any, processor: Any) -> Callable[..., Capture]:
    """How to run what the caller handed over; recognised without importing its library."""
    kind = type(source)
    library = kind.__module__.partition(".")[0]
    if isinstance(source, (str, os.PathLike)):
        return _of_model(Model(source))
    if isinstance(source, Model):
        return _of_model(source)
    if kind.__name__ == "CsmForConditionalGeneration":
        return _of_transformers(source, processor)
    if hasattr(source, "_model") and hasattr(source._model, "generate_frame"):
        return _of_sesame(source)
    if library == "csm_mlx":
        return _of_csm_mlx(source)
    if library == "mlx_audio":
        return _of_mlx_audio(source)
    if callable(source):
        return _of_function(source)
    raise TypeError(f"{which}: cannot run a {kind.__module__}.{kind.__qualname__}; expected a model "
                    "directory, a csm.Model, a model of transformers, Sesame, csm-mlx or mlx-audio, "
                    "or a function (text, seed) -> tokens")


def _capture(tokens: Any, audio: Any = None, logits: Any = None, margins: Any = None,
             settings: dict[str, str] | None = None) -> Capture:
    return {"tokens": _tokens_of(tokens), "audio": audio, "logits": logits, "margins": margins,
            "settings": dict(settings or {})}


def _drawn_again(capture: Capture, dtype: str, seed: int, temperature: float, topk: int,
                 **_: Any) -> Capture:
    """The capture with its margins, and which program's draws they are: the samplers are run on
    the logits until one gives the tokens."""
    tokens, logits = capture["tokens"], capture["logits"]
    for kind, stream in (("transformers", "torch-cpu"), ("sesame", "torch-cpu"),
                         ("csm-mlx", "mlx"), ("mlx-categorical", "mlx")):
        try:
            sampler = _csm.Sampler(kind, stream, dtype=dtype, seed=seed, temperature=temperature,
                                   top_k=topk)
        except ValueError:  # settings that this program cannot have
            continue
        margins = np.empty(tokens.shape, np.float32)
        for at in np.ndindex(tokens.shape):
            token, margin = sampler.draw(logits[at])
            if token[0, 0] != tokens[at]:
                break
            margins[at] = margin[0, 0]
        else:
            capture["margins"] = margins
            capture["settings"] |= {"sampler": kind, "stream": stream}
            break
    capture["settings"]["dtype"] = dtype
    return capture


def _sound_of(segment: Any) -> Any:
    """The segment's audio, for a program that takes nothing else."""
    if getattr(segment, "audio", None) is None:
        raise ValueError("context: a segment without audio; only our own models take codes")
    return as_sound("context: audio", segment.audio, getattr(segment, "sampling_rate", None), 24000)


def _of_model(model: Model) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        speech = model.speak(text, speaker, context, max_audio_length_ms, temperature, topk,
                             logits=True, seed=seed, normalize=False, guard=False)
        report = {name: str(speech.report[name])
                  for name in ("strategy", "engine", "stream", "sampler", "dtype")}
        return _capture(speech.tokens, speech.audio, speech.logits, speech.margins,
                        report | {"model": model.info["digest"]})

    return run


def _of_transformers(model: Any, processor: Any) -> Callable[..., Capture]:
    import torch

    if processor is None:
        from transformers import AutoProcessor

        if not model.config._name_or_path:
            raise ValueError("processor: this model was not loaded from a directory that has one; "
                             "hand over its CsmProcessor")
        processor = AutoProcessor.from_pretrained(model.config._name_or_path)

    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        turns = [{"role": str(segment.speaker),
                  "content": [{"type": "text", "text": segment.text},
                              {"type": "audio", "audio": _sound_of(segment)}]}
                 for segment in context]
        turns.append({"role": str(speaker), "content": [{"type": "text", "text": text}]})
        inputs = processor.apply_chat_template(turns, tokenize=True, return_dict=True,
                                               return_tensors="pt")
        inputs = inputs.to(model.device, model.codec_model.dtype)
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
        # Its samplers see float32, whatever the model computes in.
        return _drawn_again(_capture(tokens[:sound], decoded[0, 0].float().cpu().numpy(),
                                     logits[:sound]), "f32", seed, temperature, topk)

    return run


def _of_sesame(generator: Any) -> Callable[..., Capture]:
    import torch

    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        model = generator._model
        models = sys.modules[type(model).__module__]
        frames: list[Any] = []
        rows: list[Any] = []
        dtypes: set[str] = set()
        generate_frame, sample_topk = model.generate_frame, models.sample_topk

        def recorded_frame(*args: Any, **kwargs: Any) -> Any:
            frame = generate_frame(*args, **kwargs)
            frames.append(frame.cpu().numpy())
            return frame

        def recorded_topk(logits: Any, *args: Any, **kwargs: Any) -> Any:
            rows.append(logits[0].float().cpu().numpy())
            dtypes.add(str(logits.dtype).removeprefix("torch."))
            return sample_topk(logits, *args, **kwargs)

        model.generate_frame, models.sample_topk = recorded_frame, recorded_topk
        try:
            torch.manual_seed(seed)
            turns = [Segment(turn.speaker, turn.text, torch.from_numpy(_sound_of(turn)))
                     for turn in context]
            audio = generator.generate(text=text, speaker=speaker, context=turns,
                                       max_audio_length_ms=max_audio_length_ms,
                                       temperature=temperature, topk=topk)
        finally:
            model.generate_frame, models.sample_topk = generate_frame, sample_topk
        capture = _recorded(np.concatenate(frames), rows, audio.float().cpu().numpy())
        return _drawn_again(capture, DTYPES[dtypes.pop()], seed, temperature, topk)

    return run


class _RecordingSampler:
    """A sampler in the sense of mlx-lm that keeps what it saw and drew."""

    def __init__(self, make_sampler: Callable[..., Any], temperature: float, topk: int) -> None:
        self._sampler = make_sampler(temperature, top_k=topk)
        self.rows: list[np.ndarray] = []
        self.tokens: list[int] = []
        self.dtype = "f32"

    def __call__(self, logits: Any) -> Any:
        token = self._sampler(logits)
        self.rows.append(as_floats("logits", logits).reshape(-1))
        self.tokens.append(int(token.item()))
        self.dtype = DTYPES[str(logits.dtype).removeprefix("mlx.core.")]
        return token

    def capture(self, n_codebooks: int, audio: Any, seed: int, temperature: float,
                topk: int) -> Capture:
        frames = np.array(self.tokens, np.int32).reshape(-1, n_codebooks)
        return _drawn_again(_recorded(frames, self.rows, audio), self.dtype, seed, temperature,
                            topk)


def _mlx_segments(kind: Any, context: Sequence[Segment]) -> list[Any]:
    import mlx.core as mx

    return [kind(speaker=turn.speaker, text=turn.text, audio=mx.array(_sound_of(turn)))
            for turn in context]


def _of_csm_mlx(model: Any) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        import csm_mlx
        import mlx.core as mx
        from mlx_lm.sample_utils import make_sampler

        sampler = _RecordingSampler(make_sampler, temperature, topk)
        turns = _mlx_segments(csm_mlx.Segment, context)
        mx.random.seed(seed)
        audio = csm_mlx.generate(model, text=text, speaker=speaker, context=turns,
                                 max_audio_length_ms=max_audio_length_ms, sampler=sampler)
        return sampler.capture(model.n_audio_codebooks, as_floats("audio", audio), seed,
                               temperature, topk)

    return run


def _of_mlx_audio(model: Any) -> Callable[..., Capture]:
    def run(text: str, speaker: int, context: Sequence[Segment], seed: int, temperature: float,
            topk: int, max_audio_length_ms: float) -> Capture:
        import mlx.core as mx

        module = sys.modules[type(model).__module__]
        sampler = _RecordingSampler(module.make_sampler, temperature, topk)
        # Only what was asked for is the prompt: no voice from the hub, no turn rewritten.
        with_default_voice = getattr(model, "_use_default_voice_prompt", None)
        model._use_default_voice_prompt = False
        try:
            mx.random.seed(seed)
            pieces = [as_floats("audio", result.audio) for result in model.generate(
                text, speaker=speaker, context=_mlx_segments(module.Segment, context),
                split_pattern=None, sampler=sampler, voice_match=False,
                max_audio_length_ms=max_audio_length_ms)]
        finally:
            model._use_default_voice_prompt = with_default_voice
        audio = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
        return sampler.capture(model.model.args.audio_num_codebooks, audio, seed, temperature,
                               topk)

    return run


def _of_function(function: Callable[[str, int], Any]) -> Callable[..., Capture]:
    def run(text: str, seed: int, **_: Any) -> Capture:
        given = function(text, seed)
        if not isinstance(given, dict):
            return _capture(given)
        names = ("audio", "logits", "margins", "settings")
        return _capture(given, *(given.get(name) for name in names))

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
        return _codes(source, _csm.read_tensors(os.fspath(source)))
    if isinstance(source, dict) and "tokens" not in source:
        raise ValueError(f"tokens: expected a capture, not a dictionary of {sorted(source)}")
    tokens = as_codes("tokens", source["tokens"] if isinstance(source, dict) else source)
    if tokens.ndim == 3 and tokens.shape[0] == 1:
        tokens = tokens[0]
    if tokens.ndim != 2:
        raise ValueError(f"tokens: expected [frames, codebooks], not {list(tokens.shape)}")
    return tokens


def _codes(path: str | os.PathLike[str], arrays: dict[str, Any]) -> np.ndarray:
    if "codes" not in arrays:
        raise ValueError(f"{path}: no int32 tensor 'codes', expected a token file")
    return arrays["codes"]


def _as_file(source: Any, path: pathlib.Path) -> str:
    """A token file of what the caller handed over; a path stays what it is."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    arrays, settings = {"codes": _tokens_of(source)}, {}
    if isinstance(source, dict):
        settings = source.get("settings") or {}
        for name in ("logits", "margins", "audio"):
            if source.get(name) is not None:
                arrays[name] = as_floats(name, source[name])
    _csm.write_tensors(os.fspath(path), arrays, settings)
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
