# SPDX-License-Identifier: Apache-2.0
"""One model in every layout that the world keeps it in: made of a directory in
HF layout as save_pretrained writes it, so that the repository holds one copy."""

import json
import pathlib
import re
import shutil

import torch
from safetensors.torch import load_file, save_file


def to_pairs(rows, n_heads):
    """Rows of q or k for rotation of pairs, of rows for rotation of halves."""
    out, columns = rows.shape
    return (rows.view(n_heads, 2, out // n_heads // 2, columns).transpose(1, 2)
            .reshape(out, columns).contiguous())


def language(tensors):
    return {k: v for k, v in tensors.items() if not k.startswith("codec_model.")}


def codec(tensors):
    return {k.removeprefix("codec_model."): v for k, v in tensors.items()
            if k.startswith("codec_model.")}


def read(source):
    source = pathlib.Path(source)
    config = json.loads((source / "config.json").read_text())
    return config, load_file(source / "model.safetensors")


def old_spelling(config):
    """The configuration as transformers 4 wrote it."""
    config = json.loads(json.dumps(config))
    for part in config, config["depth_decoder_config"], config["codec_config"]:
        rope = part.pop("rope_parameters")
        part["rope_theta"] = rope.pop("rope_theta")
        part["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config["codec_config"]["frame_rate"] = config["codec_config"].pop("_frame_rate")
    return config


def names(tensors, config, of_layer):
    """(new name, tensor) of the language model, rows of q and k as pairs."""
    fixed = {"lm_head.weight": "codebook0_head.weight",
             "embed_text_tokens.weight": "text_embeddings.weight",
             "backbone_model.embed_tokens.embed_audio_tokens.weight": "audio_embeddings.weight",
             "depth_decoder.model.embed_tokens.weight": "audio_embeddings.weight",
             "depth_decoder.model.inputs_embeds_projector.weight": "projection.weight",
             "depth_decoder.codebooks_head.weight": "audio_head",
             "backbone_model.norm.weight": of_layer["norm"].format("backbone"),
             "depth_decoder.model.norm.weight": of_layer["norm"].format("decoder")}
    for name, value in language(tensors).items():
        if name in fixed:
            yield fixed[name], value
            continue
        part, layer, what = re.fullmatch(
            r"(backbone_model|depth_decoder\.model)\.layers\.(\d+)\.(.+)\.weight", name).groups()
        sizes = config if part == "backbone_model" else config["depth_decoder_config"]
        if what == "self_attn.q_proj":
            value = to_pairs(value, sizes["num_attention_heads"])
        if what == "self_attn.k_proj":
            value = to_pairs(value, sizes["num_key_value_heads"])
        prefix = "backbone" if part == "backbone_model" else "decoder"
        yield f"{prefix}.layers.{layer}.{of_layer[what]}", value


SESAME = {"self_attn.q_proj": "attn.q_proj.weight", "self_attn.k_proj": "attn.k_proj.weight",
          "self_attn.v_proj": "attn.v_proj.weight", "self_attn.o_proj": "attn.output_proj.weight",
          "mlp.gate_proj": "mlp.w1.weight", "mlp.up_proj": "mlp.w3.weight",
          "mlp.down_proj": "mlp.w2.weight", "input_layernorm": "sa_norm.scale",
          "post_attention_layernorm": "mlp_norm.scale", "norm": "{}.norm.scale"}
MLX = {what: what + ".weight" for what in SESAME} | {"norm": "{}.norm.weight"}


def hub(source, target):
    """Two shards with both copies of the tied audio table, as on the hub."""
    config, tensors = read(source)
    table = "depth_decoder.model.embed_tokens.weight"
    tensors["backbone_model.embed_tokens.embed_audio_tokens.weight"] = tensors[table].clone()
    target.mkdir()
    keys = sorted(tensors)
    shards = [keys[:len(keys) // 2], keys[len(keys) // 2:]]
    where = {}
    for i, shard in enumerate(shards, 1):
        name = f"transformers-{i:05}-of-00002.safetensors"
        save_file({k: tensors[k].contiguous() for k in shard}, target / name, {"format": "pt"})
        where |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (target / "transformers.safetensors.index.json").write_text(json.dumps(index))
    config = old_spelling(config) | {"transformers_weights": "transformers.safetensors.index.json"}
    (target / "config.json").write_text(json.dumps(config))
    copy_text(source, target)


def sesame(source, target):
    config, tensors = read(source)
    target.mkdir()
    save_file(dict(names(tensors, config, SESAME)), target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(old_spelling(config)))
    copy_text(source, target)
    kyutai(source, target)


def mlx(source, target, bits=0, group=64, prefix=""):
    import mlx.core as mx  # here: the other layouts also serve machines without MLX

    config, tensors = read(source)
    target.mkdir()
    config = old_spelling(config)
    out = {}
    for name, value in names(tensors, config, MLX):
        value = mx.array(value.float().numpy()).astype(mx.bfloat16)
        if bits and value.ndim == 2:
            stem = prefix + name.removesuffix(".weight")
            out[f"{stem}.weight"], out[f"{stem}.scales"], out[f"{stem}.biases"] = mx.quantize(
                value, group_size=group, bits=bits)
        else:
            out[prefix + name] = value
    mx.save_safetensors(str(target / "ckpt.safetensors"), out, {"format": "mlx"})
    if bits:
        config["quantization"] = {"group_size": group, "bits": bits, "mode": "affine"}
    (target / "config.json").write_text(json.dumps(config))
    copy_text(source, target)
    kyutai(source, target)


def kyutai(source, target):
    """The codec as kyutai's own file, q, k and v in one matrix."""
    config, tensors = read(source)
    out, fused = {}, {}
    n_heads = config["codec_config"]["num_attention_heads"]
    for name, value in codec(tensors).items():
        attention = re.fullmatch(r"(\w+_transformer)\.layers\.(\d+)\.self_attn\.([qkv])_proj\.weight",
                                 name)
        if attention:
            part, layer, which = attention.groups()
            rows = value if which == "v" else to_pairs(value, n_heads)
            fused.setdefault(f"{part}.transformer.layers.{layer}.self_attn.in_proj_weight",
                             {})[which] = rows
        else:
            out[kyutai_name(name, value)] = value
    for name, rows in fused.items():
        out[name] = torch.cat([rows["q"], rows["k"], rows["v"]]).contiguous()
    target.mkdir(exist_ok=True)
    save_file(out, target / "tokenizer-e351c8d8-checkpoint125.safetensors")
    if not (target / "config.json").exists():
        (target / "config.json").write_text(
            json.dumps(old_spelling(config)["codec_config"] | {"model_type": "mimi"}))


def kyutai_name(name, value):
    for ours, theirs in (
            (r"(encoder|decoder)\.layers\.(\d+)\.block\.(\d)\.conv\.", r"\1.model.\2.block.\3.conv.conv."),
            (r"encoder\.layers\.(\d+)\.conv\.", r"encoder.model.\1.conv.conv."),
            (r"decoder\.layers\.(0|14)\.conv\.", r"decoder.model.\1.conv.conv."),
            (r"decoder\.layers\.(\d+)\.conv\.", r"decoder.model.\1.convtr.convtr."),
            (r"downsample\.conv\.", r"downsample.conv.conv.conv."),
            (r"upsample\.conv\.", r"upsample.convtr.convtr.convtr."),
            (r"quantizer\.semantic_residual_vector_quantizer\.layers\.(\d+)\.codebook\.",
             r"quantizer.rvq_first.vq.layers.\1._codebook."),
            (r"quantizer\.acoustic_residual_vector_quantizer\.layers\.(\d+)\.codebook\.",
             r"quantizer.rvq_rest.vq.layers.\1._codebook."),
            (r"quantizer\.semantic_residual_vector_quantizer\.", r"quantizer.rvq_first."),
            (r"quantizer\.acoustic_residual_vector_quantizer\.", r"quantizer.rvq_rest."),
            (r"(\w+_transformer)\.layers\.", r"\1.transformer.layers.")):
        name, n = re.subn("^" + ours, theirs, name)
        if n:
            break
    for ours, theirs in (("self_attn.o_proj.", "self_attn.out_proj."), ("mlp.fc1.", "linear1."),
                         ("mlp.fc2.", "linear2."), ("input_layernorm.", "norm1."),
                         ("post_attention_layernorm.", "norm2."),
                         ("self_attn_layer_scale.", "layer_scale_1."),
                         ("mlp_layer_scale.", "layer_scale_2."),
                         ("._codebook.initialized", "._codebook._initialized"),
                         ("._codebook.embed_sum", "._codebook.embedding_sum")):
        name = name.replace(ours, theirs)
    return name


def copy_text(source, target):
    for name in "tokenizer.json", "generation_config.json":
        if (pathlib.Path(source) / name).exists():
            shutil.copyfile(pathlib.Path(source) / name, target / name)


# What tests/golden has outputs of.
GOLDEN = {"csm-a-hub": hub, "csm-a-sesame": sesame, "csm-a-mlx": mlx,
          "csm-a-mlx-q4": lambda s, t: mlx(s, t, 4, 64, "model."),
          "csm-a-mlx-q8": lambda s, t: mlx(s, t, 8, 64),
          "csm-a-mlx-q4g32": lambda s, t: mlx(s, t, 4, 32),
          "mimi-a-kyutai": kyutai}
