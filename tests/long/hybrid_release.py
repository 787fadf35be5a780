# SPDX-License-Identifier: Apache-2.0
"""Hybrid against transformers with one PyTorch under one cap on the processor's instructions (the
environment's): every code and every logit of csm-a, float32 and bfloat16, greedy and drawn.

python tests/long/hybrid_release.py CSM FRAMES; the engine is the one in $CSM_ENGINE_DIR."""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))
from transformers_frames import Reference, endless_golden  # noqa: E402

TEXT = "Hello from Sesame. It's 2025, isn't it?"
csm, frames = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
wrong, n_logits, told = 0, 0, {}
with tempfile.TemporaryDirectory() as directory:
    model = endless_golden(pathlib.Path(directory) / "csm-a")
    for dtype in "f32", "bf16":
        reference = Reference(model, dtype)
        for top_k in 1, 50:  # the most probable code alone; drawn
            out = pathlib.Path(directory) / "t.safetensors"
            subprocess.run([csm, "generate", "--model-path", model, "--text", TEXT, "--quiet",
                            "--pytorch-tokens", "--dtype", dtype, "--threads", "1", "--seed", "42",
                            "--temperature", "0.9", "--topk", str(top_k), "--output", "none",
                            "--max-audio-length-ms", str(80 * frames), "--save-tokens", out,
                            "--save-logits"], check=True, stderr=subprocess.DEVNULL)
            with safe_open(out, "numpy") as file:
                told = file.metadata()
                codes, logits = file.get_tensor("codes"), file.get_tensor("logits")
            want_codes, want_logits = reference.generate(TEXT, frames, seed=42, top_k=top_k)
            assert codes.shape == want_codes.shape
            equal = (np.array_equal(codes, want_codes), np.array_equal(logits, want_logits))
            n_logits += logits.size
            wrong += equal != (True, True)
cap = os.environ.get("ONEDNN_MAX_CPU_ISA", "none")
print(f"{told['library']}, transformers {transformers.__version__}, {told['processor']}, cap {cap}: "
      f"{4 - wrong} of 4 runs of {frames} frames equal, {n_logits} logits", flush=True)
sys.exit(wrong != 0)
