# SPDX-License-Identifier: Apache-2.0
"""csm on Ray: corpora on Ray Data, `csm serve` on Ray Serve (pip install csm-engine[ray]).

>>> import ray, csm.ray
>>> spoken = csm.ray.synthesize(csm.ray.read_manifest("texts.jsonl"), output_dir="/data/corpus")
>>> csm.ray.write_manifest(spoken, "/data/corpus/manifest.jsonl")
>>> ray.serve.run(csm.ray.serve_app(num_replicas=4))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .corpus import read_manifest, synthesize, write_manifest
    from .serving import serve_app

__all__ = ["read_manifest", "serve_app", "synthesize", "write_manifest"]


def __getattr__(name: str) -> Any:
    if name in ("read_manifest", "synthesize", "write_manifest"):
        from . import corpus

        return getattr(corpus, name)
    if name == "serve_app":
        from .serving import serve_app

        return serve_app
    raise AttributeError(f"module 'csm.ray' has no attribute {name!r}")
