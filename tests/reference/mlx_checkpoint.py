# SPDX-License-Identifier: Apache-2.0
"""Fresh checkpoints in csm-mlx's layout, of random numbers."""

import json
import pathlib

import mlx.core as mx
import numpy as np

BLOCK = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
         "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
         "post_attention_layernorm"]


def random(config, seed, dtype=mx.float32):
    """Tensors of a model of this config, of a size that keeps logits near 10."""
    rng = np.random.default_rng(seed)

    def matrix(*shape, gain=1.0):
        return mx.array(rng.standard_normal(shape, np.float32) * gain / shape[-1] ** 0.5).astype(dtype)

    depth = config["depth_decoder_config"]
    width, codes = config["hidden_size"], config["num_codebooks"] * config["vocab_size"]
    out = {
        "text_embeddings.weight": matrix(config["text_vocab_size"], width, gain=width ** 0.5),
        "audio_embeddings.weight": matrix(codes, width, gain=width ** 0.5),
        "projection.weight": matrix(depth["hidden_size"], width),
        "codebook0_head.weight": matrix(config["vocab_size"], width, gain=3.0),
        "audio_head": mx.contiguous(
            matrix(config["num_codebooks"] - 1, config["vocab_size"], depth["hidden_size"],
                   gain=3.0).swapaxes(1, 2)),
    }
    for name, part in [("backbone", config), ("decoder", depth)]:
        w, h = part["hidden_size"], part["intermediate_size"]
        q, kv = (part[n] * part["head_dim"] for n in ("num_attention_heads", "num_key_value_heads"))
        shapes = dict(zip(BLOCK, [(q, w), (kv, w), (kv, w), (w, q), (h, w), (h, w), (w, h)]))
        for layer in range(part["num_hidden_layers"]):
            for block, shape in shapes.items():
                out[f"{name}.layers.{layer}.{block}.weight"] = matrix(*shape)
            for block in BLOCK[-2:]:
                out[f"{name}.layers.{layer}.{block}.weight"] = mx.array(
                    1 + 0.1 * rng.standard_normal(w, np.float32)).astype(dtype)
        out[f"{name}.norm.weight"] = mx.array(
            1 + 0.1 * rng.standard_normal(w, np.float32)).astype(dtype)
    return out


def quantized(tensors, bits, group_size):
    """As mlx.nn.quantize leaves a model: matrices and tables packed, norms and the
    depth heads (a bare array there) as they are."""
    out = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            out[name] = tensor
            continue
        base = name.removesuffix(".weight")
        packed, scales, biases = mx.quantize(tensor, group_size, bits)
        out |= {name: packed, f"{base}.scales": scales, f"{base}.biases": biases}
    return out


def write(directory, tensors, config, quantization=None):
    """A model directory, without tokenizer and codec."""
    directory = pathlib.Path(directory)
    if quantization:
        config = config | {"quantization": quantization}
    (directory / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(directory / "ckpt.safetensors"), tensors)
