# SPDX-License-Identifier: Apache-2.0
"""A GGUF of csm-1b's shape with random weights, as CrispASR's converter and quantizer lay one out
(1.1 GB in q4_k): matrices of TYPE, the depth decoder's heads, convolutions and codebooks in f16.

    python bench/peers/random_gguf.py OUT.gguf [q4_k|q5_k|q6_k|q8_0|q4_0|f16]

Blocks are stretches of one pool of random ones; the depth decoder's table is the backbone's once
more, as CrispASR wants it. The tokenizer is the embedded voice's: its ids are few, and no time
depends on them. Needs gguf 0.19, numpy and transformers (for the names and shapes of Mimi).
"""

import json
import pathlib
import re
import sys

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGUFWriter
from gguf import GGMLQuantizationType as Type
from transformers import CsmConfig, CsmForConditionalGeneration

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from gguf_files import HALVES, crispasr_keys, crispasr_name, tokens_and_merges  # noqa: E402

POOL = 1 << 24 # bytes
random = np.random.default_rng(1)


def pool_of(kind):
    """Blocks whose values are about 0.02, or numbers of f16 and f32."""
    if kind in (Type.F16, Type.F32):
        values = random.standard_normal(POOL // 4).astype(np.float32) * 0.02
        return values.astype(np.float16 if kind == Type.F16 else np.float32).view(np.uint8)
    n_bytes = GGML_QUANT_SIZES[kind][1]
    raw = random.integers(0, 256, (POOL // n_bytes, n_bytes), dtype=np.uint8)
    size = {Type.Q6_K: 2e-5, Type.Q8_0: 2e-4, Type.Q4_0: 4e-3}.get(kind, 6e-5)
    for at in HALVES.get(kind, (0,)):
        raw[:, at:at + 2] = np.full((len(raw), 1), size, np.float16).view(np.uint8)
    return raw.reshape(-1)


def shapes():
    """(name, shape) in CrispASR's names, Mimi's q, k and v as one."""
    with torch.device("meta"):
        model = CsmForConditionalGeneration(CsmConfig())
    seen, fused = {}, {}
    for name, tensor in model.state_dict().items():
        # transformers' modules are called otherwise than the tensors of its files.
        name = re.sub(r"codec_model\.(?:en|de)coder\.((?:en|de)coder_transformer|(?:up|down)sample)\.",
                      r"codec_model.\1.", name)
        name = re.sub(r"codec_model\.(?:en|de)coder\.((?:en|de)coder)_seanet\.", r"codec_model.\1.", name)
        short = crispasr_name(name)
        if short is None:
            continue
        if short.endswith((".q_w", ".k_w", ".v_w")):
            fused[short[:-3]] = (3 * tensor.shape[0], tensor.shape[1])
        else:
            seen[short] = tuple(tensor.shape)
    table = seen.get("backbone.audio_embd.weight") or seen.get("depth.token_embd.weight")
    seen |= {"backbone.audio_embd.weight": table, "depth.token_embd.weight": table}
    return sorted((seen | {f"{prefix}qkv_w": shape for prefix, shape in fused.items()}).items())


def type_of(name, shape, kind):
    if len(shape) == 1:
        return Type.F32
    is_matrix = len(shape) == 2 and ("weight" in name or name.endswith("_w"))
    return kind if is_matrix and shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else Type.F16


def main(out, kind="q4_k"):
    kind = Type[kind.upper()]
    config = json.loads(CsmConfig().to_json_string(use_diff=False))
    for part, theta in (config, 500000), (config["depth_decoder_config"], 500000):
        part.setdefault("rope_parameters", {})["rope_theta"] = theta
    writer = GGUFWriter(out, "csm-tts")
    crispasr_keys(writer, config)
    tokens, merges = tokens_and_merges(ROOT / "voice" / "model")
    writer.add_token_list(tokens)
    if merges:
        writer.add_token_merges(merges)
    pools = {k: pool_of(k) for k in {kind, Type.F16, Type.F32}}
    todo = []
    for name, shape in shapes():
        one = type_of(name, shape, kind)
        n_values, n_bytes = GGML_QUANT_SIZES[one]
        size = int(np.prod(shape)) // n_values * n_bytes
        raw_shape = (*shape[:-1], shape[-1] // n_values * n_bytes)
        writer.add_tensor_info(name, raw_shape if n_values > 1 else shape,
                               np.dtype(np.uint8 if n_values > 1 else
                                        np.float16 if one == Type.F16 else np.float32),
                               size, raw_dtype=one)
        todo.append((name, one, size))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, one, size in todo:
        pool = pools[one]
        n = len(pool) // GGML_QUANT_SIZES[one][1] * GGML_QUANT_SIZES[one][1]
        data = np.resize(pool[:n], size)
        if "norm" in name and name.endswith("weight"):
            data = np.ones(size // 4, np.float32).view(np.uint8)
        writer.write_tensor_data(data)
    writer.close()


main(*sys.argv[1:])
