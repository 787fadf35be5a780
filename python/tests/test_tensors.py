# SPDX-License-Identifier: Apache-2.0
"""Token files by the package alone, and what is left after a failure."""

import json
import pathlib
import struct

import numpy as np
import pytest

from csm import _csm


def write(path, name, dtype, shape, data):
    header = json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}})
    header = header.encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def is_open(path):
    """Whether this process has the file mapped (Linux)."""
    return str(path) in pathlib.Path("/proc/self/maps").read_text()


def test_a_file_is_closed_when_an_array_cannot_be_made(tmp_path):
    path = tmp_path / "t.safetensors"
    write(path, "none", "F32", [0, 2**40, 2**23], b"")  # NumPy counts its bytes all the same
    with pytest.raises(ValueError, match="array is too big"):
        _csm.read_tensors(str(path))
    assert not is_open(path)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "t.safetensors"
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.float32([0.5])}
    _csm.write_tensors(str(path), arrays, {"seed": "7"})
    read = _csm.read_tensors(str(path))
    assert all(np.array_equal(read[k], v) for k, v in arrays.items())
    assert _csm.read_metadata(str(path), ["seed", "none"]) == {"seed": "7"}
    assert not is_open(path)


def test_a_message_with_a_name_that_is_no_utf8_is_a_message(tmp_path):
    """PyErr_SetString would raise UnicodeDecodeError in the error's place."""
    with pytest.raises(TypeError):  # no str of UTF-8: nanobind's
        _csm.read_tensors(str(tmp_path / "\udce4.safetensors"))
    with pytest.raises(OSError):
        _csm.read_tensors(str(tmp_path / ("\u00e4" * 120 + ".safetensors")))
    deep = tmp_path / ("\u00e4" * 100) / ("\u2019" * 70) / ("x" + "\u00e4" * 100)
    with pytest.raises(OSError, match="cannot be read|\u00e4$"):
        _csm.read_tensors(str(deep))
