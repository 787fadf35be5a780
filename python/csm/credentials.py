# SPDX-License-Identifier: Apache-2.0
"""Content Credentials: a file that says, signed by its owner, that a program spoke. docs/MARK.md"""

from __future__ import annotations

import os
import pathlib

from . import _csm

BEGINNINGS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "flac", b"ID3": "mp3", b"\xff": "mp3"}


class Credentials:
    """A certificate and its key, which sign whole files of WAV, FLAC and MP3.

    Parameters
    ----------
    certificate : a PEM file: the signer's, then those that vouch for it
    key : a PEM file, PKCS #8: EC on P-256, P-384 or P-521, Ed25519, or RSA

    Raises
    ------
    OSError : a file cannot be read
    ValueError : the key is none of those
    csm.EngineError : libc2pa_c is neither at $CSM_C2PA nor where the system looks

    Any number of threads may sign; one waits for another.
    """

    def __init__(self, certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
        self._credentials = _csm.Credentials(*(pathlib.Path(file).read_text("ascii")
                                               for file in (certificate, key)))

    def sign(self, file: bytes) -> bytes:
        """The bytes of a sound file, signed; its samples stay the same.

        ValueError: a file of another kind, or C2PA's library refuses, and says why.
        """
        if not isinstance(file, bytes):
            raise TypeError(f"file: expected the bytes of a sound file, not {type(file).__name__}")
        for beginning, name in BEGINNINGS.items():
            if file.startswith(beginning):
                return self._credentials.sign(name, file)
        raise ValueError("file: expected a WAV, FLAC or MP3 file: only these can be signed")
