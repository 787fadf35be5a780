# SPDX-License-Identifier: Apache-2.0
"""The packed voice as transformers reads it: voice/unpack.py MODEL_DIR OUT_DIR

What pack.py did, backwards: quantized matrices become scale * q + bias in float32, which are the
very numbers that csm computes with; names and rows of q and k become Hugging Face's; the codec
goes inside. For comparing csm with the reference on equal weights. Needs mlx, numpy.
"""

import json
import pathlib
import shutil
import sys

import mlx.core as mx
import numpy as np

NAMES = {"codebook0_head.weight": "lm_head.weight",
         "text_embeddings.weight": "embed_text_tokens.weight",
         "audio_embeddings.weight": "depth_decoder.model.embed_tokens.weight",
         "projection.weight": "depth_decoder.model.inputs_embeds_projector.weight",
         "audio_head": "depth_decoder.codebooks_head.weight"}


def floats(array):
    return np.array(array.astype(mx.float32))


def dequantized(words, scales, biases, bits):
    scales, biases = floats(scales), floats(biases)
    per_word = 32 // bits
    shifts = np.arange(per_word, dtype=np.uint32) * bits
    q = (np.array(words)[..., None] >> shifts & (1 << bits) - 1).reshape(words.shape[0], -1)
    group = q.shape[1] // scales.shape[1]
    return (q.astype(np.float32) * np.repeat(scales, group, 1) + np.repeat(biases, group, 1))


def to_halves(rows, n_heads):
    """Rows of q or k from rotated pairs to rotated halves."""
    n, cols = rows.shape
    return rows.reshape(n_heads, n // n_heads // 2, 2, cols).swapaxes(1, 2).reshape(n, cols)


def main(source, target):
    source, target = pathlib.Path(source), pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    quantization = config.pop("quantization")
    packed = mx.load(str(source / "model.safetensors"))
    out = {}
    for name, array in packed.items():
        if name.endswith((".scales", ".biases")):
            continue
        stem = name.removesuffix(".weight")
        bits = quantization.get(stem, quantization)["bits"]
        value = (dequantized(array, packed[stem + ".scales"], packed[stem + ".biases"], bits)
                 if array.dtype == mx.uint32 else floats(array))
        is_depth = name.startswith("decoder.")
        heads = config["depth_decoder_config"] if is_depth else config
        if ".q_proj." in name:
            value = to_halves(value, heads["num_attention_heads"])
        elif ".k_proj." in name:
            value = to_halves(value, heads["num_key_value_heads"])
        if is_depth:
            name = "depth_decoder.model." + name.removeprefix("decoder.")
        elif name.startswith("backbone."):
            name = "backbone_model." + name.removeprefix("backbone.")
        out[NAMES.get(name, name)] = mx.array(value)
    for name, array in mx.load(str(source / "mimi.safetensors")).items():
        out["codec_model." + name] = array.astype(mx.float32)
    mx.save_safetensors(str(target / "model.safetensors"), out, {"format": "pt"})
    (target / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for name in "generation_config.json", "tokenizer.json":
        shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
