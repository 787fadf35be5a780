# SPDX-License-Identifier: Apache-2.0
"""Let programs over MLX draw PyTorch's tokens, without changing them.

    python -m csm.cli.use_exact_sampling --status | [--verbose] --enable SCRIPT [ARGS...]

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
import importlib
import os
import runpy
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import _csm
from ..arrays import as_logits
from ..exact import default_stream

_lock = threading.RLock()
_requests: list[_Patch] = []  # who asked for what, in order: the last one counts
_replaced: list[tuple[Any, str, Any, Any]] = []  # (owner, name, MLX's function, ours)
_is_on = False  # read without the lock, at every draw


# ---- the functions ------------------------------------------------------------
#
# Each asks at every call whether exact sampling is on, so that one which somebody
# kept (in a closure, a partial, a sampler) is MLX's again after it was switched off.


def _tokens(drawn: np.ndarray, shape: list[int]) -> Any:
    """As MLX's own functions give tokens: uint32."""
    import mlx.core as mx

    return mx.array(drawn.astype(np.uint32).reshape(shape))


def _categorical(original: Callable[..., Any]) -> Callable[..., Any]:
    """mx.random.categorical with PyTorch's draw: torch.multinomial(softmax(logits), 1) over
    rows; several samples are several rows. An explicit key has no counterpart in PyTorch and
    stays MLX's."""
    import mlx.core as mx

    @functools.wraps(original)
    def categorical(logits: Any, axis: int = -1, shape: Any = None, num_samples: Any = None,
                    key: Any = None, stream: Any = None) -> Any:
        if not _is_on or key is not None:
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
        return _tokens(default_stream.draw(array, "f32", 0, 1.0, kind="transformers"), out)

    return categorical


def _make_sampler(original: Callable[..., Any]) -> Callable[..., Any]:
    """mlx_lm.sample_utils.make_sampler whose samplers draw PyTorch's tokens, with PyTorch's
    order and ties: temperature, top-k, top-p, min-p. What PyTorch has no counterpart of
    (greedy, XTC, min_tokens_to_keep) is mlx-lm's."""

    @functools.wraps(original)
    def make_sampler(temp: float = 0.0, top_p: float = 0.0, min_p: float = 0.0,
                     min_tokens_to_keep: int = 1, top_k: int = 0, **others: Any) -> Any:
        plain = original(temp, top_p, min_p, min_tokens_to_keep, top_k, **others)
        if temp == 0 or others.get("xtc_probability", 0.0) > 0 or min_tokens_to_keep != 1:
            return plain
        nucleus = top_p if 0 < top_p < 1 else 0.0
        kind = "transformers" if nucleus > 0 or min_p > 0 else "sesame"

        def sampler(logprobs: Any) -> Any:
            if not _is_on:
                return plain(logprobs)
            array, dtype, _ = as_logits(logprobs)
            rows = array.reshape(-1, array.shape[-1])
            tokens = default_stream.draw(rows, dtype, top_k, temp, nucleus, min_p, kind)
            return _tokens(tokens, array.shape[:-1])

        return sampler

    return make_sampler


def _categorical_sampling(original: Callable[..., Any]) -> Callable[..., Any]:
    """mlx_lm.sample_utils.categorical_sampling, which samplers made before the patch call."""

    @functools.wraps(original)
    def categorical_sampling(logits: Any, temp: float) -> Any:
        if not _is_on:
            return original(logits, temp)
        array, dtype, _ = as_logits(logits)
        tokens = default_stream.draw(array.reshape(-1, array.shape[-1]), dtype, 0, temp)
        return _tokens(tokens, array.shape[:-1])

    return categorical_sampling


def _seed(original: Callable[..., Any]) -> Callable[..., Any]:
    """mx.random.seed that seeds PyTorch's stream, too."""

    @functools.wraps(original)
    def seed(value: int) -> None:
        original(value)
        if _is_on:
            default_stream.seed(value)

    return seed


# ---- where they go ------------------------------------------------------------

# mlx-audio carries a copy of mlx-lm's; its earlier versions import mlx-lm.
_SAMPLE_UTILS = ("mlx_lm.sample_utils", "mlx_audio.lm.sample_utils")


def _targets() -> list[tuple[Any, str, Callable[[Any], Any]]]:
    """(owner, name, what makes ours of MLX's) of each function that is replaced."""
    import mlx.core as mx

    targets = [(mx.random, "categorical", _categorical), (mx.random, "seed", _seed)]
    for name in _SAMPLE_UTILS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # the library is not here, or an older one without such a module
        targets += [(module, "make_sampler", _make_sampler),
                    (module, "categorical_sampling", _categorical_sampling)]
    return targets


def _holders(function: Any) -> list[tuple[Any, str]]:
    """Modules that imported the function by name (`from mlx_lm.sample_utils import ...`)."""
    found = []
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            found += [(module, name) for name, value in list(names.items()) if value is function]
    return found


def _replace(owner: Any, name: str, old: Any, new: Any, says: str | None) -> None:
    """Put `new` wherever `old` is; what another program has put over it is left alone."""
    places = _holders(old)
    if getattr(owner, name) is old and (owner, name) not in places:
        places.insert(0, (owner, name))
    for place, attribute in places:
        setattr(place, attribute, new)
        if says:
            where = getattr(place, "__name__", repr(place))
            print(f"csm: {where}.{attribute} {says}", file=sys.stderr)


def _switch(verbose: bool) -> None:
    """Bring MLX's functions in line with the last request."""
    global _is_on
    wanted = _requests[-1].enable if _requests else False
    if wanted == _is_on:
        return
    if wanted:
        for owner, name, make in _targets():
            original = getattr(owner, name)
            _replaced.append((owner, name, original, make(original)))
        for owner, name, original, exact in _replaced:
            _replace(owner, name, original, exact, "now draws PyTorch's tokens" if verbose else None)
    else:
        while _replaced:
            owner, name, original, exact = _replaced.pop()
            _replace(owner, name, exact, original, "is MLX's again" if verbose else None)
    _is_on = wanted
    _csm.patch_switch(wanted, False)


class _Patch:
    """What patch_mlx_sampling returns: MLX's own categorical, to be called; in a `with` block,
    a request that ends with the block, and with it those that its thread made in there."""

    def __init__(self, enable: bool, verbose: bool, original: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self.enable = enable
        self.thread = threading.get_ident()
        self.n_blocks = 0
        self._verbose = verbose
        self._original = original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._original(*args, **kwargs)

    def __enter__(self) -> _Patch:
        with _lock:
            self.n_blocks += 1
            if self not in _requests:
                self.thread = threading.get_ident()
                _requests.append(self)
                _switch(self._verbose)
            return self

    def __exit__(self, *exception: object) -> None:
        with _lock:
            self.n_blocks -= 1
            if self.n_blocks == 0 and self in _requests:
                at = _requests.index(self)
                _requests[at:] = [r for r in _requests[at + 1:] if r.thread != self.thread]
                _switch(self._verbose)


def patch_mlx_sampling(enable: bool = True, verbose: bool = False) -> _Patch:
    """Put PyTorch's draws in the place of MLX's for this process, or take them away again.

    While enabled, mx.random.categorical and the samplers of mlx-lm and mlx-audio (so csm-mlx's
    too) draw what PyTorch would from the same logits; mx.random.seed(s) seeds the stream as
    torch.manual_seed(s). Enabling twice is enabling once. The switch and the stream are the
    process's: threads share both, as torch's threads do. `with` blocks nest, and those of
    several threads may overlap: what counts is the last request whose block has not ended.

    Parameters
    ----------
    enable : False puts back exactly what was there
    verbose : say on standard error what was replaced where

    Returns
    -------
    MLX's own categorical function; also a context manager that ends the request with its block
    """
    import mlx.core as mx

    with _lock:
        original = next((o for _, name, o, _ in _replaced if name == "categorical"),
                        mx.random.categorical)
        patch = _Patch(bool(enable), verbose, original)
        # Of calls outside of blocks, this one and the one before are all that can still count.
        mine = [r for r in _requests if r.thread == patch.thread][-2:]
        if len(mine) == 2 and not any(r.n_blocks for r in mine):
            _requests.remove(mine[0])
        _requests.append(patch)
        try:
            _switch(verbose)
        except BaseException:
            _requests.remove(patch)
            raise
        return patch


def is_exact_sampling_enabled() -> bool:
    """Whether patch_mlx_sampling is on."""
    return _is_on


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m csm.cli.use_exact_sampling",
        description="Run a Python program over MLX with PyTorch's draws.")
    action = parser.add_mutually_exclusive_group(required=True)
    script_and_arguments = {"nargs": argparse.REMAINDER, "metavar": "SCRIPT ..."}
    action.add_argument("--enable", help="run SCRIPT with exact sampling on; what follows it is "
                        "its own", **script_and_arguments)
    action.add_argument("--disable", help="run SCRIPT as it is", **script_and_arguments)
    action.add_argument("--status", action="store_true", help="say what can be patched here")
    parser.add_argument("--verbose", action="store_true", help="say what is replaced where")
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
    sys.argv = options.enable or options.disable
    if not sys.argv or not os.path.isfile(sys.argv[0]):
        parser.error(f"no such script: {sys.argv[0] if sys.argv else '(none named)'}")
    script = sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(script))  # as Python itself would
    with patch_mlx_sampling(True, options.verbose) if options.enable else nullcontext():
        runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    from csm.cli import use_exact_sampling  # the module that scripts import, not this copy of it

    sys.exit(use_exact_sampling.main())
