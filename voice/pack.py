#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make a trained voice small: voice/pack.py HF_DIR OUT_DIR

The language model's matrices become MLX's affine 8 bit, group 64 (4 bit
where it costs nothing), in csm-mlx's names (rows of q and k turned to pairs);
norms and the depth heads stay bfloat16; the codec stays as it is, in
mimi.safetensors. Needs mlx.
"""

import json
import pathlib
import shutil
import sys

import mlx.core as mx

GROUP, BITS = 64, 8


def main(source, target):
    source, target = pathlib.Path(source), pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    tensors = mx.load(str(source / "model.safetensors"))
    codec = {k.removeprefix("codec_model."): v for k, v in tensors.items()
             if k.startswith("codec_model.")}
    language = {name: rows for k, v in tensors.items() if not k.startswith("codec_model.")
                for name, rows in [rename(k, v, config)] if name}

    packed, overrides = {}, {}
    for name, value in language.items():
        if value.ndim == 2 and value.shape[1] % GROUP == 0:
            stem = name.removesuffix(".weight")
            bits = 4 if takes_4_bits(stem) else BITS
            if bits != BITS:
                overrides[stem] = {"group_size": GROUP, "bits": bits}
            packed[f"{stem}.weight"], packed[f"{stem}.scales"], packed[f"{stem}.biases"] = \
                mx.quantize(value, group_size=GROUP, bits=bits)
        else:
            packed[name] = value
    mx.save_safetensors(str(target / "model.safetensors"), packed, {"format": "mlx"})
    mx.save_safetensors(str(target / "mimi.safetensors"), codec, {"format": "pt"})
    config["quantization"] = {"group_size": GROUP, "bits": BITS, "mode": "affine",
                              **overrides}
    (target / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for name in "generation_config.json", "tokenizer.json", "voices.json":
        shutil.copyfile(source / name, target / name)


def takes_4_bits(stem):
    """The codes' embeddings and the depth decoder's MLPs: README.md has the measured loss."""
    return stem == "audio_embeddings" or stem.startswith("decoder.") and ".mlp." in stem


def rename(name, value, config):
    """csm-mlx's name of a tensor in HF layout, and its rows as pairs."""
    if name == "depth_decoder.model.embed_tokens.weight" or \
            name == "backbone_model.embed_tokens.embed_audio_tokens.weight":
        return "audio_embeddings.weight", value
    fixed = {"lm_head.weight": "codebook0_head.weight",
             "embed_text_tokens.weight": "text_embeddings.weight",
             "depth_decoder.model.inputs_embeds_projector.weight": "projection.weight",
             "depth_decoder.codebooks_head.weight": "audio_head"}
    if name in fixed:
        return fixed[name], value
    depth = name.startswith("depth_decoder.model.")
    heads = config["depth_decoder_config"] if depth else config
    if ".q_proj." in name or ".k_proj." in name:
        n = heads["num_attention_heads" if ".q_proj." in name else "num_key_value_heads"]
        rows, cols = value.shape
        value = value.reshape(n, 2, rows // n // 2, cols).swapaxes(1, 2).reshape(rows, cols)
    return (name.replace("depth_decoder.model.", "decoder.")
                .replace("backbone_model.", "backbone.")), value


if __name__ == "__main__":
    main(*sys.argv[1:])
