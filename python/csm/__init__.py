# SPDX-License-Identifier: Apache-2.0
"""csm: the Conversational Speech Model engine.

>>> import csm
>>> model = csm.Model.from_pretrained()          # the embedded voice
>>> audio = model.generate("Hello there.")
>>> csm.Sampler("sesame", "torch-cpu", seed=42)  # PyTorch's tokens for any logits

NumPy is imported when the first array is needed, so that `import csm` costs a few
milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._csm import EngineError, Sampler, __version__, draw_is_certain, noise

if TYPE_CHECKING:
    from .hub import download
    from .model import Frame, Model, Segment, Speech

__all__ = ["EngineError", "Frame", "Model", "Sampler", "Segment", "Speech", "__version__",
           "download", "draw_is_certain", "noise"]


def __getattr__(name: str) -> Any:
    if name in ("Frame", "Model", "Segment", "Speech"):
        from . import model

        return getattr(model, name)
    if name == "download":
        from .hub import download

        return download
    raise AttributeError(f"module 'csm' has no attribute {name!r}")
