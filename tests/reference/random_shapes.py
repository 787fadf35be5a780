# SPDX-License-Identifier: Apache-2.0
"""Small models of random weights and random shapes: random_shapes.py SEED DIR

Layers, widths, heads, codebooks and the dtype of the file follow from the seed; codec and
tokenizer are csm-a's. Prints the shape.
"""

import json
import pathlib
import random
import sys

import torch
from safetensors.torch import load_file, save_file

from transformers_frames import random_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def stack(draw, widths):
    """(layers, width, heads, kv heads, head_dim, hidden)"""
    kv_heads = draw.choice([1, 2, 3])
    return (draw.randint(1, 4), draw.choice(widths), kv_heads * draw.choice([1, 2, 4]), kv_heads,
            draw.choice([8, 16, 32, 64]), draw.choice([48, 96, 128, 192, 320]))


def store_as(directory, dtype):
    """The language model's tensors in this dtype; the codec stays float32."""
    path = directory / "model.safetensors"
    save_file({name: t if name.startswith("codec_model.") else t.to(DTYPES[dtype])
               for name, t in load_file(path).items()}, path, {"format": "pt"})
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = config["depth_decoder_config"]["dtype"] = dtype
    path.write_text(json.dumps(config))


def random_shape(directory, seed):
    """Makes the directory; gives the shape in words."""
    draw = random.Random(seed)
    n_codebooks = draw.randint(3, 8)
    backbone = stack(draw, [64, 96, 128, 192, 256])
    depth = stack(draw, [40, 64, 96, 128, 192])
    dtype = draw.choice(sorted(DTYPES))
    random_model(directory, seed, n_codebooks, backbone, depth)
    store_as(directory, dtype)
    return f"shape {seed}: {n_codebooks} codebooks, backbone {backbone}, depth {depth}, {dtype}"


if __name__ == "__main__":
    print(random_shape(pathlib.Path(sys.argv[2]), int(sys.argv[1])))
