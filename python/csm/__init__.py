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
    from .credentials import Credentials
    from .hub import download
    from .marks import Detection, Detector, Found, Marker, Payload, detect, mark
    from .model import Frame, Model, Segment, Speech, SpeechWarning

__all__ = ["Credentials", "Detection", "Detector", "EngineError", "Found", "Frame", "Marker", "Model", "Payload",
           "Sampler", "Segment", "Speech", "SpeechWarning", "__version__", "detect", "download",
           "draw_is_certain", "mark", "noise"]


def __getattr__(name: str) -> Any:
    if name in ("Frame", "Model", "Segment", "Speech", "SpeechWarning"):
        from . import model

        return getattr(model, name)
    if name in ("Detection", "Detector", "Found", "Marker", "Payload", "detect", "mark"):
        from . import marks

        return getattr(marks, name)
    if name == "Credentials":
        from .credentials import Credentials

        return Credentials
    if name == "download":
        from .hub import download

        return download
    raise AttributeError(f"module 'csm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
