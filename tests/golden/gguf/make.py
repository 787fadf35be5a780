# SPDX-License-Identifier: Apache-2.0
"""Writes blocks.gguf: of each quantized type two rows of random blocks (extreme scales among
them) and, as TYPE.values, what gguf.dequantize of the gguf package (0.19.0) makes of them.

    .venv/bin/python tests/golden/gguf/make.py
"""

import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, dequantize

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "reference"))
from gguf_files import HALVES, LARGE, SMALL  # noqa: E402

random = np.random.default_rng(19)
writer = GGUFWriter(str(pathlib.Path(__file__).with_name("blocks.gguf")), "blocks")
for kind in SMALL + LARGE:
    n_values, n_bytes = GGML_QUANT_SIZES[kind]
    n_blocks = 512 // n_values
    raw = random.integers(0, 256, (2, n_blocks, n_bytes), dtype=np.uint8)
    halves = HALVES.get(kind, (0, 2) if kind.name.endswith("_1") else (0,))
    for at in halves:
        half = random.standard_normal((2, n_blocks)).astype(np.float16)
        half[0, 0], half[1, 0] = 6e-8, -65504 # the smallest and the largest of float16
        raw[..., at:at + 2] = half[..., None].view(np.uint8)
    raw = raw.reshape(2, -1)
    writer.add_tensor(kind.name.lower(), raw, raw_dtype=kind)
    writer.add_tensor(kind.name.lower() + ".values", dequantize(raw, kind),
                      raw_dtype=GGMLQuantizationType.F32)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
