# SPDX-License-Identifier: Apache-2.0
"""csm-mlx's calls on MLX's CPU backend: peer_mlx.py f32|q4     (q4: bf16, affine 4 bit, group 64)

The calls are those of tests/reference/csm_mlx_calls.py, on random weights made here.
"""

import pathlib
import sys
import time

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_sampler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/reference"))
import csm_mlx_calls
from turns import serve

PROMPT = 32
SCALING = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 8192}
COMMON = {"rms_norm_eps": 1e-5, "rope_theta": 500000.0, "rope_scaling": SCALING}
CSM_1B = COMMON | {
    "vocab_size": 2051, "num_codebooks": 32, "text_vocab_size": 128256,
    "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192,
    "depth_decoder_config": COMMON | {
        "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 8192}}


def main(dtype):
    mx.set_default_device(mx.cpu)
    model = csm_mlx_calls.CSM(CSM_1B)
    if dtype == "q4":
        model.set_dtype(mx.bfloat16)
        nn.quantize(model, 64, 4)
    model.eval()
    mx.eval(model.parameters())
    sampler = make_sampler(temp=0.9, top_k=50)
    n = model.n_codebooks

    def measure(n_frames):
        tokens = mx.zeros((1, PROMPT, n + 1), mx.int32)
        mask = mx.concat([mx.zeros((1, PROMPT, n)), mx.ones((1, PROMPT, 1))], axis=2).astype(mx.bool_)
        cache = make_prompt_cache(model.backbone)
        times = []
        for _ in range(n_frames + 1):
            start = time.perf_counter()
            codes, _ = model.frame(tokens, mask, cache, sampler)
            mx.eval(codes)
            times.append((time.perf_counter() - start) * 1e3)
            tokens = mx.concat([codes, mx.zeros((1, 1), codes.dtype)], axis=1)[:, None].astype(mx.int32)
            mask = mx.concat([mx.ones_like(codes), mx.zeros((1, 1))], axis=1)[:, None].astype(mx.bool_)
        return times[1:]  # the first has the prompt in it

    serve(f"csm-mlx {dtype}", f"mlx {mx.__version__}", measure)


main(sys.argv[1])  # MLX's threads are its own: a number after it is not heeded
