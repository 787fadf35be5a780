# SPDX-License-Identifier: Apache-2.0
"""What each dtype does to the choices of the embedded voice: two tables of bench_dtypes.

    .venv/bin/python bench/dtype_accuracy.py [build/bin/bench_dtypes]

The voice is stored in 8 and 4 bits, so its float32 twin (voice/unpack.py) lies on the very grid that
q8 would round to: the first table flatters q8, and q4 where the voice has 4 bits. For the second
table each weight is moved to a random place within its own quantization step: a float32 model that
packing would have turned into this voice, as the one was that it came from.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
VOICE = ROOT / "voice/model"
# Of voice/unpack.py's names, those that pack.py leaves as floats
FLOATS = "norm.weight", "layernorm.weight", "codebooks_head.weight"


def packed_bits():
    """Bits and group of the matrices, by the names that they have when unpacked."""
    quantization = json.loads((VOICE / "config.json").read_text())["quantization"]
    special = {}
    for name, value in quantization.items():
        if isinstance(value, dict):
            name = {"audio_embeddings": "depth_decoder.model.embed_tokens"}.get(name, name)
            name = name.replace("decoder.layers", "depth_decoder.model.layers", 1)
            special[name.replace("backbone.layers", "backbone_model.layers", 1) + ".weight"] = value
    return quantization, special


def spread(path):
    quantization, special = packed_bits()
    torch.manual_seed(1)
    tensors = load_file(path)
    for name, value in tensors.items():
        if name.startswith("codec_model.") or name.endswith(FLOATS):
            continue
        how = special.pop(name, quantization)
        groups = value.view(-1, how["group_size"])
        step = (groups.amax(1) - groups.amin(1)) / (2 ** how["bits"] - 1)
        groups += step[:, None] * (torch.rand_like(groups) - 0.5)
    if special:
        raise SystemExit(f"dtype_accuracy: not found in the unpacked voice: {list(special)}")
    save_file(tensors, path, {"format": "pt"})


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/bin/bench_dtypes"
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, ROOT / "voice/unpack.py", VOICE, directory], check=True)
        for title in "As unpacked", "Within the steps":
            print(f"\n{title}: ", end="", flush=True)
            subprocess.run([program, directory, ROOT / "voice/heldout.txt"], check=True)
            spread(pathlib.Path(directory) / "model.safetensors")


main()
