# SPDX-License-Identifier: Apache-2.0
"""Models by name, in the cache that huggingface_hub keeps."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence

from . import _csm
from .arguments import text as text_of


def download(repo: str, *, revision: str | None = None, endpoint: str | None = None,
             cache_dir: str | os.PathLike[str] | None = None, token: str | None = None,
             offline: bool = False, files: Sequence[str] = (),
             progress: Callable[[str, int, int], object] | None = None) -> str:
    """Bring what a CSM needs of a model into the hub cache, or find it there.

    Parameters
    ----------
    repo : 'ORG/NAME'
    revision : branch, tag or commit; None for 'main'
    endpoint : None for $HF_ENDPOINT, else https://huggingface.co
    cache_dir : None for huggingface_hub's own
    token : None for $HF_TOKEN or the one that was kept; '' for none
    offline : take what the cache has; so does $HF_HUB_OFFLINE
    files : names in the repository, in place of what a CSM needs
    progress : called some ten times a second with (file, bytes, total); what it raises
        cancels, and so does Ctrl-C

    Returns
    -------
    The directory of the snapshot.

    Raises
    ------
    ValueError : a name, revision or file that is none; an answer that is not a hub's
    OSError : no such repository or revision, private, gated, not in the cache, not reached
    csm.EngineError : without libcurl
    """
    if isinstance(files, str):
        raise TypeError("files: expected a list of names, not str")

    def tell(file: str, n_bytes: int, total: int, remark: str | None) -> None:
        if remark is not None:
            warnings.warn(remark, stacklevel=4)
        elif progress is not None:
            progress(file, n_bytes, total)

    return _csm.hub_download(
        text_of("repo", repo), _optional("revision", revision), _optional("endpoint", endpoint),
        None if cache_dir is None else os.fsdecode(cache_dir), _optional("token", token),
        bool(offline), [text_of("files", name) for name in files], tell)


def path_of(path: str | os.PathLike[str]) -> str:
    """A model's path: as given where something has it, else the download of 'ORG/NAME'."""
    given = text_of("path", os.fsdecode(path))
    if isinstance(path, str) and not os.path.exists(given) and _csm.hub_is_name(given):
        return download(given)
    return given


def _optional(name: str, value: str | None) -> str | None:
    return None if value is None else text_of(name, value)
