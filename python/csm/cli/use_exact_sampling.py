# SPDX-License-Identifier: Apache-2.0
"""Let programs over MLX draw PyTorch's tokens, without changing them.

    python -m csm.cli.use_exact_sampling --status | --enable SCRIPT [ARGS...]

or in a program:

    original = patch_mlx_sampling(enable=True, verbose=True)
    ...
    patch_mlx_sampling(enable=False)

    with patch_mlx_sampling():
        ...
"""

from __future__ import annotations

import argparse
import functools
import runpy
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _csm
from ..arrays import as_logits
from ..exact import default_stream

_lock = threading.RLock()
_replaced: list[tuple[Any, str, Any]] = []  # (owner, name, what was there), in order


def _categorical(original: Callable[..., Any]) -> Callable[..., Any]:
    """mx.random.categorical with PyTorch's draw: torch.multinomial(softmax(logits), 1) over
    rows; several samples are several rows. An explicit key has no counterpart in PyTorch and
    stays MLX's."""
    import mlx.core as mx

    @functools.wraps(original)
    def categorical(logits: Any, axis: int = -1, shape: Any = None, num_samples: Any = None,
                    key: Any = None, stream: Any = None) -> Any:
        if key is not None:
            return original(logits, axis, shape, num_samples, key=key, stream=stream)
        rows = mx.moveaxis(logits, axis, -1)
        out = list(rows.shape[:-1])
        if num_samples is not None:
            out.append(num_samples)
            rows = mx.broadcast_to(mx.expand_dims(rows, -2), [*out, rows.shape[-1]])
        elif shape is not None:
            out = list(shape)
            rows = mx.broadcast_to(rows, [*out, rows.shape[-1]])
        array, _, _ = as_logits(rows.reshape(-1, rows.shape[-1]).astype(mx.float32))
        tokens = default_stream.draw(array, "f32", 0, 1.0, kind="transformers")
        return mx.array(tokens.astype(np.uint32).reshape(out))

    return categorical


def _make_sampler(original: Callable[..., Any]) -> Callable[..., Any]:
    """mlx_lm.sample_utils.make_sampler whose samplers draw PyTorch's tokens, with PyTorch's
    order and ties: temperature, top-k, top-p, min-p. Greedy and XTC stay mlx-lm's."""
    import mlx.core as mx

    @functools.wraps(original)
    def make_sampler(temp: float = 0.0, top_p: float = 0.0, min_p: float = 0.0,
                     min_tokens_to_keep: int = 1, top_k: int = 0, **others: Any) -> Any:
        if temp == 0 or others.get("xtc_probability", 0.0) > 0 or min_tokens_to_keep != 1:
            return original(temp, top_p, min_p, min_tokens_to_keep, top_k, **others)

        kind = "transformers" if 0 < top_p < 1 or min_p > 0 else "sesame"

        def sampler(logprobs: Any) -> Any:
            array, dtype, _ = as_logits(logprobs)
            rows = array.reshape(-1, array.shape[-1])
            tokens = default_stream.draw(rows, dtype, top_k, temp, top_p % 1, min_p, kind)
            return mx.array(tokens.astype(np.uint32).reshape(array.shape[:-1]))

        return sampler

    return make_sampler


def _categorical_sampling(original: Callable[..., Any]) -> Callable[..., Any]:
    """mlx_lm.sample_utils.categorical_sampling, which samplers made before the patch call."""

    @functools.wraps(original)
    def categorical_sampling(logits: Any, temp: float) -> Any:
        import mlx.core as mx

        array, dtype, _ = as_logits(logits)
        tokens = default_stream.draw(array.reshape(-1, array.shape[-1]), dtype, 0, temp)
        return mx.array(tokens.astype(np.uint32).reshape(array.shape[:-1]))

    return categorical_sampling


def _seed(original: Callable[..., Any]) -> Callable[..., Any]:
    """mx.random.seed that seeds PyTorch's stream, too."""

    @functools.wraps(original)
    def seed(value: int) -> None:
        original(value)
        default_stream.seed(value)

    return seed


def _targets() -> list[tuple[Any, str, Callable[[Any], Any]]]:
    import mlx.core as mx

    targets = [(mx.random, "categorical", _categorical), (mx.random, "seed", _seed)]
    sample_utils = sys.modules.get("mlx_lm.sample_utils")
    if sample_utils is None:
        try:
            import mlx_lm.sample_utils as sample_utils
        except ImportError:
            return targets
    return targets + [(sample_utils, "make_sampler", _make_sampler),
                      (sample_utils, "categorical_sampling", _categorical_sampling)]


def _holders(function: Any) -> list[tuple[Any, str]]:
    """Modules that imported the function by name (`from mlx_lm.sample_utils import ...`)."""
    found = []
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            found += [(module, name) for name, value in list(names.items()) if value is function]
    return found


def _enable(verbose: bool) -> None:
    for owner, name, make in _targets():
        original = getattr(owner, name)
        exact = make(original)
        places = [(owner, name)] + [p for p in _holders(original) if p != (owner, name)]
        for place, attribute in places:
            _replaced.append((place, attribute, original))
            setattr(place, attribute, exact)
            if verbose:
                where = getattr(place, "__name__", repr(place))
                print(f"csm: {where}.{attribute} now draws PyTorch's tokens", file=sys.stderr)
    _csm.patch_switch(True, False)


def _disable(verbose: bool) -> None:
    while _replaced:
        place, attribute, original = _replaced.pop()
        setattr(place, attribute, original)
        if verbose:
            where = getattr(place, "__name__", repr(place))
            print(f"csm: {where}.{attribute} is MLX's again", file=sys.stderr)
    _csm.patch_switch(False, False)


class _Patch:
    """What patch_mlx_sampling returns: MLX's own categorical, to be called; in a `with` block,
    what puts back the state from before the call."""

    def __init__(self, original: Callable[..., Any], was_enabled: bool, verbose: bool) -> None:
        functools.update_wrapper(self, original)
        self._original = original
        self._was_enabled = was_enabled
        self._verbose = verbose

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._original(*args, **kwargs)

    def __enter__(self) -> _Patch:
        return self

    def __exit__(self, *exception: object) -> None:
        patch_mlx_sampling(self._was_enabled, self._verbose)


def patch_mlx_sampling(enable: bool = True, verbose: bool = False) -> Callable[..., Any]:
    """Put PyTorch's draws in the place of MLX's for this process, or take them away again.

    While enabled, mx.random.categorical and the samplers of mlx_lm.sample_utils (so csm-mlx,
    mlx-audio and mlx-lm) draw what PyTorch would from the same logits; mx.random.seed(s) seeds
    the stream as torch.manual_seed(s). Enabling twice is enabling once. Threads share the one
    stream, as torch's threads do.

    Parameters
    ----------
    enable : False puts back exactly what was there
    verbose : say on standard error what was replaced where

    Returns
    -------
    MLX's own categorical function; also a context manager that restores the state from before
    """
    import mlx.core as mx

    with _lock:
        was_enabled = bool(_replaced)
        original = _replaced[0][2] if was_enabled else mx.random.categorical
        if enable and not was_enabled:
            _enable(verbose)
        elif was_enabled and not enable:
            _disable(verbose)
        return _Patch(original, was_enabled, verbose)


def is_exact_sampling_enabled() -> bool:
    """Whether patch_mlx_sampling is on."""
    with _lock:
        return bool(_replaced)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m csm.cli.use_exact_sampling",
        description="Run a Python program over MLX with PyTorch's draws.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--enable", metavar="SCRIPT", help="run SCRIPT with exact sampling on")
    action.add_argument("--disable", metavar="SCRIPT", help="run SCRIPT as it is")
    action.add_argument("--status", action="store_true", help="say what can be patched here")
    parser.add_argument("--verbose", action="store_true", help="say what is replaced where")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the script's own arguments")
    options = parser.parse_args(argv)
    if options.status:
        try:
            places = [f"{owner.__name__}.{name}" for owner, name, _ in _targets()]
        except ImportError:
            print("csm: mlx is not installed: pip install mlx")
            return 1
        print(f"exact sampling: {'on' if is_exact_sampling_enabled() else 'off'}; "
              f"would replace {', '.join(places)}")
        return 0
    script = options.enable or options.disable
    sys.argv = [script, *options.args]
    if options.enable:
        patch_mlx_sampling(True, options.verbose)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        if options.enable:
            patch_mlx_sampling(False, options.verbose)
    return 0


if __name__ == "__main__":
    sys.exit(main())
