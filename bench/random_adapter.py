# SPDX-License-Identifier: Apache-2.0
"""A LoRA adapter of PEFT's with random numbers, for every projection of a model's language part.

    .venv/bin/python bench/random_adapter.py BASE_DIR OUT_DIR [RANK]

Rank 32 and the seven projections of each layer are what most public adapters of csm-1b have. The base
is in transformers' layout (bench/peers/random_checkpoint.py makes one).
"""

import json
import pathlib
import re
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main(base, out, rank=32):
    rank, rng, tensors = int(rank), np.random.default_rng(1), {}
    with safe_open(pathlib.Path(base) / "model.safetensors", "numpy") as file:
        for name in file.keys():
            if not re.match(rf"(backbone_model|depth_decoder)\..*({'|'.join(PROJECTIONS)})\.weight$", name):
                continue
            rows, cols = file.get_slice(name).get_shape()
            module = f"base_model.model.{name.removesuffix('.weight')}"
            for part, shape in (("lora_A", (rank, cols)), ("lora_B", (rows, rank))):
                values = rng.standard_normal(shape, dtype=np.float32) * 0.01
                tensors[f"{module}.{part}.weight"] = values
    out = pathlib.Path(out)
    out.mkdir(parents=True)
    save_file(tensors, out / "adapter_model.safetensors", {"format": "pt"})
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": PROJECTIONS,
              "base_model_name_or_path": str(base), "bias": "none"}
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2))


main(*sys.argv[1:])
