# SPDX-License-Identifier: Apache-2.0
"""GGUF files as CrispASR's converter and quantizer (72d3c38) and codec.cpp's converters
(c5ef02b) with llama.cpp's make them of a model in transformers' layout, and the same model
with the values that the gguf package makes of their blocks. tests/long/gguf_converters.py
compares what is written here with what those programs write."""

import json
import math
import re

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, GGML_QUANT_SIZES, dequantize, quantize
from safetensors.torch import load_file, save_file

FLOATS = [Type.F32, Type.F16, Type.BF16]
SMALL = [Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1]
LARGE = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]
ALL = FLOATS + SMALL + LARGE

# Where a block has its d (and dmin), which here are small numbers of either sign.
HALVES = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2),
          Type.Q6_K: (208,)}


def blocks(array, kind, seed):
    """An array in a type's blocks: of the large types, which the package cannot write, random
    ones that make values of about 0.15."""
    if kind not in LARGE:
        return quantize(array, kind)
    n_values, n_bytes = GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(seed)
    shape = (*array.shape[:-1], array.shape[-1] // n_values, n_bytes)
    raw = random.integers(0, 256, shape, dtype=np.uint8)
    for at in HALVES[kind]:
        size = {Type.Q6_K: 4e-5, Type.Q3_K: 2e-3}.get(kind, 2e-4 if kind != Type.Q2_K else 1e-2)
        half = (random.uniform(0.5, 1, shape[:-1]) * size).astype(np.float16)
        raw[..., at:at + 2] = half[..., None].view(np.uint8)
    return raw.reshape(*array.shape[:-1], -1)


class Converted:
    """Tensors on their way: `write` puts one into a file, `values` holds what it stands for."""

    def __init__(self, path, architecture):
        self.writer = GGUFWriter(str(path), architecture)
        self.values, self.n = {}, 0

    def put(self, name, array, kind):
        """The array as it is read back."""
        self.n += 1
        array = np.ascontiguousarray(array, dtype=np.float32)
        raw = blocks(array, kind, self.n)
        if kind in (Type.F32, Type.F16):
            raw = array.astype(np.float32 if kind == Type.F32 else np.float16)
        self.writer.add_tensor(name, raw, raw_dtype=kind)
        return dequantize(raw, kind).reshape(array.shape)

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def fits(array, kind):
    return kind in FLOATS or array.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0


def tensors_of(model):
    return {k: v.float().numpy() for k, v in load_file(model / "model.safetensors").items()}


def save_tensors(target, values):
    save_file({k: torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for k, v in
               values.items()}, target / "model.safetensors", {"format": "pt"})


def save_values(source, target, values):
    """The model with other values, in float32."""
    target.mkdir()
    for name in "config.json", "tokenizer.json":
        (target / name).write_bytes((source / name).read_bytes())
    save_tensors(target, values)


def usage_of(tensors, name):
    return np.maximum(tensors[name.replace("embed_sum", "cluster_usage")], 1e-5)[:, None]


# ---- CrispASR ---------------------------------------------------------------------

LEAVES = [(".self_attn.q_proj.", ".attn_q."), (".self_attn.k_proj.", ".attn_k."),
          (".self_attn.v_proj.", ".attn_v."), (".self_attn.o_proj.", ".attn_output."),
          (".input_layernorm.", ".attn_norm."), (".post_attention_layernorm.", ".ffn_norm."),
          (".mlp.gate_proj.", ".ffn_gate."), (".mlp.up_proj.", ".ffn_up."),
          (".mlp.down_proj.", ".ffn_down.")]
NAMES = {
    "backbone_model.embed_tokens.embed_audio_tokens.weight": "backbone.audio_embd.weight",
    "embed_text_tokens.weight": "backbone.text_embd.weight",
    "lm_head.weight": "backbone.codebook0_head.weight",
    "backbone_model.norm.weight": "backbone.output_norm.weight",
    "depth_decoder.codebooks_head.weight": "depth.codebooks_head.weight",
    "depth_decoder.model.embed_tokens.weight": "depth.token_embd.weight",
    "depth_decoder.model.inputs_embeds_projector.weight": "depth.projection.weight",
    "depth_decoder.model.norm.weight": "depth.output_norm.weight",
    "codec_model.downsample.conv.weight": "mimi.downsample.conv3.weight",
    "codec_model.upsample.conv.weight": "mimi.upsample.conv3.weight",
}
MIMI_LEAVES = {
    "input_layernorm.weight": "norm1.weight", "input_layernorm.bias": "norm1.bias",
    "post_attention_layernorm.weight": "norm2.weight",
    "post_attention_layernorm.bias": "norm2.bias", "self_attn_layer_scale.scale": "ls1",
    "mlp_layer_scale.scale": "ls2", "mlp.fc1.weight": "ffn_up_w", "mlp.fc2.weight": "ffn_down_w",
    "self_attn.q_proj.weight": "attn.q_w", "self_attn.k_proj.weight": "attn.k_w",
    "self_attn.v_proj.weight": "attn.v_w", "self_attn.o_proj.weight": "attn.out_w"}


def crispasr_name(name):
    """None: left out."""
    if name in NAMES:
        return NAMES[name]
    for stem, other in ("backbone_model.layers.", "backbone.blk."), \
                       ("depth_decoder.model.layers.", "depth.blk."):
        if name.startswith(stem):
            name = name.replace(stem, other)
            for leaf, short in LEAVES:
                name = name.replace(leaf, short)
            return name
    if match := re.fullmatch(r"codec_model\.(enc|dec)oder_transformer\.layers\.(\d+)\.(.+)", name):
        return f"mimi.{match[1]}_tfm.layers.{match[2]}.{MIMI_LEAVES[match[3]]}"
    if match := re.fullmatch(r"codec_model\.(\w+)\.layers\.(\d+)\.block\.(\d)\.conv\.(\w+)", name):
        return f"mimi.{match[1]}.model.{match[2]}.blk{match[3]}.{match[4]}"
    if match := re.fullmatch(r"codec_model\.(\w+)\.layers\.(\d+)\.conv\.(\w+)", name):
        return f"mimi.{match[1]}.model.{match[2]}.conv2.{match[3]}"
    branch = "rvq_first" if ".semantic_" in name else "rvq_rest"
    if match := re.search(r"quantizer\.layers\.(\d+)\.codebook\.embed_sum$", name):
        return f"mimi.quantizer.{branch}.vq.layers.{match[1]}._codebook.embedding"
    if match := re.search(r"quantizer\.(input|output)_proj\.weight$", name):
        return f"mimi.quantizer.{branch}.{match[1]}_proj.weight"
    return None


def crispasr_keys(writer, config):
    """Every key as its converter writes it, of a config.json in csm-1b's spelling."""
    depth, codec = config["depth_decoder_config"], config["codec_config"]
    sizes = dict(n_layers="num_hidden_layers", d_model="hidden_size", n_heads="num_attention_heads",
                 n_kv_heads="num_key_value_heads", head_dim="head_dim", ff_dim="intermediate_size")
    writer.add_name("csm-1b")
    for part, of in ("backbone", config), ("depth", depth):
        for key, name in sizes.items():
            writer.add_uint32(f"csm.{part}.{key}", of[name])
    writer.add_uint32("csm.backbone.max_pos", config["max_position_embeddings"])
    writer.add_float32("csm.backbone.rope_theta", config["rope_parameters"]["rope_theta"])
    writer.add_float32("csm.backbone.rms_norm_eps", config["rms_norm_eps"])
    writer.add_uint32("csm.depth.backbone_hidden", depth["backbone_hidden_size"])
    for key, name in (("text_vocab_size",) * 2, ("audio_vocab_size", "vocab_size"),
                      ("audio_num_codebooks", "num_codebooks"), ("audio_eos_token_id",) * 2,
                      ("audio_token_id",) * 2, ("bos_token_id",) * 2,
                      ("codebook_eos_token_id",) * 2, ("codebook_pad_token_id",) * 2):
        writer.add_uint32(f"csm.{key}", config[name])
    for key, name in dict(dim="hidden_size", n_heads="num_attention_heads",
                          n_layers="num_hidden_layers", codebook_dim="codebook_dim",
                          codebook_size="codebook_size", n_quantizers="num_quantizers",
                          n_semantic="num_semantic_quantizers",
                          sample_rate="sampling_rate").items():
        writer.add_uint32(f"csm.mimi.{key}", codec[name])
    writer.add_float32("csm.mimi.frame_rate", 12.5)


def tokens_and_merges(model):
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    found = {i: t for t, i in tokenizer["model"]["vocab"].items()}
    found |= {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return [found.get(i, "") for i in range(max(found) + 1)], merges


def put_tokens(writer, model):
    tokens, merges = tokens_and_merges(model)
    writer.add_token_list(tokens)
    if merges:
        writer.add_token_merges(merges)


def crispasr_tokenizer(path, model):
    """A file of the tokenizer alone."""
    out = Converted(path, "csm-tts")
    put_tokens(out.writer, model)
    out.close()


def crispasr(path, model, kind=Type.F32):
    """One file. Matrices of `kind`; what crispasr-quantize leaves in the file's floats (f16
    below a quantized type): convolutions, heads, codebooks. Returns the values by HF's names."""
    base = kind if kind in FLOATS else Type.F16
    config = json.loads((model / "config.json").read_text())
    out = Converted(path, "csm-tts")
    crispasr_keys(out.writer, config)
    put_tokens(out.writer, model)
    tensors, values, fused = tensors_of(model), {}, {}
    for name in sorted(tensors):
        array, short = tensors[name], crispasr_name(name)
        if short is None:
            values[name] = np.ones_like(array) if name.endswith("cluster_usage") else array
            continue
        if name.endswith("embed_sum"):
            array = array / usage_of(tensors, name)
        if re.search(r"attn\.[qkv]_w$", short):
            fused.setdefault(short[:-3], {})[short[-3]] = (name, array)
            continue
        is_matrix = array.ndim == 2 and (".weight" in short or short.endswith("_w"))
        one = kind if is_matrix and fits(array, kind) else Type.F32 if array.ndim == 1 else base
        values[name] = out.put(short, array, one)
    for prefix, parts in sorted(fused.items()):
        array = np.concatenate([parts[c][1] for c in "qkv"])
        read = out.put(prefix + "qkv_w", array, kind if fits(array, kind) else base)
        for c, third in zip("qkv", np.split(read, 3)):
            values[parts[c][0]] = third
    out.close()
    return values


# ---- codec.cpp --------------------------------------------------------------------

SHORT = [("decoder_transformer.layers.", "dtr.l"), ("encoder_transformer.layers.", "etr.l"),
         ("decoder.layers.", "dec.l"), ("encoder.layers.", "enc.l"),
         ("quantizer.acoustic_residual_vector_quantizer.", "q.a."),
         ("quantizer.semantic_residual_vector_quantizer.", "q.s."),
         ("codebook.embed_sum", "cb.es"), ("codebook.cluster_usage", "cb.cu"),
         ("codebook.initialized", "cb.init"), ("input_layernorm.", "inln."),
         ("post_attention_layernorm.", "paln."), ("self_attn_layer_scale.", "sa_ls."),
         ("mlp_layer_scale.", "mlp_ls."), ("self_attn.", "attn."), ("input_proj.weight", "ip.w"),
         ("output_proj.weight", "op.w"), ("downsample.conv.weight", "dn.cv.w"),
         ("upsample.conv.weight", "up.cv.w"), (".weight", ".w"), (".bias", ".b")]
# Tied: transformers saves one of the two (where codec.cpp's converter wants the first).
AUDIO_TABLES = ("backbone_model.embed_tokens.embed_audio_tokens.weight",
                "depth_decoder.model.embed_tokens.weight")
DEPTH_LEAVES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "q", "self_attn.k_proj": "k",
                "self_attn.v_proj": "v", "self_attn.o_proj": "o",
                "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
                "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def rope_factors(config):
    """ggml's: frequency without the rescaling of Llama 3 over that with it."""
    rope = config["rope_parameters"]
    if rope["rope_type"] == "default":
        return np.ones(config["head_dim"] // 2, np.float32)
    frequency = rope["rope_theta"] ** (-2.0 * np.arange(config["head_dim"] // 2) /
                                       config["head_dim"])
    wavelength = 2 * math.pi / frequency
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    size = rope["original_max_position_embeddings"]
    smooth = np.clip((size / wavelength - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)


def to_pairs(array, n_heads):
    """Rows as llama.cpp's converter puts those of q and k."""
    halves = array.reshape(n_heads, 2, -1, array.shape[-1])
    return halves.swapaxes(1, 2).reshape(array.shape)


def to_halves(array, n_heads):
    pairs = array.reshape(n_heads, -1, 2, array.shape[-1])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def put_typed_tokens(w, model, pre, size):
    tokens, merges = tokens_and_merges(model)
    added = {t["id"] for t in json.loads((model / "tokenizer.json").read_text())["added_tokens"]}
    tokens += [f"[PAD{i}]" for i in range(len(tokens), size)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types([3 if i in added else 5 if t.startswith("[PAD") else 1
                       for i, t in enumerate(tokens)])
    w.add_token_merges(merges)


def llama_tokenizer(path, model, pre):
    """A file of the tokenizer alone, as llama.cpp's converter writes it."""
    out = Converted(path, "llama")
    put_typed_tokens(out.writer, model, pre, 0)
    out.close()


def backbone(path, model, kind):
    """llama.cpp's file of the backbone."""
    config = json.loads((model / "config.json").read_text())
    out = Converted(path, "llama")
    w = out.writer
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    w.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_key_length(config["head_dim"])
    w.add_value_length(config["head_dim"])
    w.add_vocab_size(config["text_vocab_size"])
    w.add_rope_dimension_count(config["head_dim"])
    put_typed_tokens(w, model, "llama-bpe", config["text_vocab_size"])
    w.add_bos_token_id(config["bos_token_id"])
    out.put("rope_freqs.weight", rope_factors(config), Type.F32)
    tensors, values = tensors_of(model), {}
    names = {"embed_text_tokens.weight": "token_embd.weight",
             "backbone_model.norm.weight": "output_norm.weight"}
    for name, array in sorted(tensors.items()):
        short = names.get(name)
        if name.startswith("backbone_model.layers."):
            short = name.replace("backbone_model.layers.", "blk.")
            for leaf, other in LEAVES:
                short = short.replace(leaf, other)
        if short is None:
            continue
        one = kind if array.ndim > 1 and fits(array, kind) else Type.F32
        heads = {"q_": config["num_attention_heads"], "k_": config["num_key_value_heads"]}
        n = heads.get(re.sub(r".*self_attn\.(.)_proj.*", r"\1_", name))
        if n is None:
            values[name] = out.put(short, array, one)
        else:
            values[name] = to_halves(out.put(short, to_pairs(array, n), one), n)
    out.close()
    return values


def codec_keys(w, config):
    depth, codec = config["depth_decoder_config"], config["codec_config"]
    w.add_name("Mimi")
    for key, value in dict(
            sample_rate=codec["sampling_rate"], hop_size=1920, n_q=32, num_semantic_quantizers=1,
            codebook_size=codec["codebook_size"], codebook_dim=codec["codebook_dim"],
            latent_dim=codec["hidden_size"], num_hidden_layers=codec["num_hidden_layers"],
            num_attention_heads=codec["num_attention_heads"], head_dim=codec["head_dim"],
            intermediate_size=codec["intermediate_size"]).items():
        w.add_uint32(f"codec.{key}", value)
    w.add_bool("codec.lm.has_adaptor", True)
    w.add_string("codec.lm.kind", "residual_depth_ar")
    w.add_uint32("codec.lm.hidden_dim", config["hidden_size"])
    w.add_uint32("codec.lm.n_codebook", config["num_codebooks"])
    w.add_array("codec.lm.codebook_sizes", [config["vocab_size"]] * config["num_codebooks"])
    w.add_int32("codec.lm.eos_code_c0", config["codebook_eos_token_id"])
    for key, name in dict(layers="num_hidden_layers", hidden="hidden_size",
                          n_heads="num_attention_heads", n_kv_heads="num_key_value_heads",
                          head_dim="head_dim", intermediate="intermediate_size",
                          max_position="max_position_embeddings").items():
        w.add_uint32(f"codec.lm.residual.depth_{key}", depth[name])
    w.add_float32("codec.lm.residual.depth_rope_theta", depth["rope_parameters"]["rope_theta"])
    w.add_float32("codec.lm.residual.depth_rms_norm_eps", depth["rms_norm_eps"])


def rest(path, model, kind):
    """codec.cpp's file: Mimi, the depth decoder, heads, audio tables."""
    config = json.loads((model / "config.json").read_text())
    out = Converted(path, "mimi")
    codec_keys(out.writer, config)
    tensors, values = tensors_of(model), {}
    for name, array in sorted(tensors.items()):
        if not name.startswith("codec_model."):
            continue
        short = name.removeprefix("codec_model.")
        for long, other in SHORT:
            short = short.replace(long, other)
        if name == "codec_model.upsample.conv.weight":
            dense = np.zeros((len(array), *array.shape[::2]), dtype=np.float32)
            dense[range(len(array)), range(len(array))] = array[:, 0]
            values[name] = out.put(short, dense, kind)[range(len(array)), range(len(array))]
            values[name] = values[name][:, None]
        elif array.ndim == 3 and "_proj." in name and "quantizer" in name:
            values[name] = out.put(short, array[..., 0], kind)[..., None]
        else:
            values[name] = out.put(short, array, kind)
        if short.startswith("up.") or "dec.l" in short and "block" in short:
            out.put("dec.transformer.blocks.copy" if short.startswith("up.") else
                    f"up.r{name.split('.')[3]}.c{name.split('.')[5]}.{short[-1]}", array, kind)
    for name in [n for n in values if n.endswith("embed_sum")]:
        usage = tensors[name.replace("embed_sum", "cluster_usage")]
        array = tensors[name] / np.maximum(usage, 1e-6)[:, None] # 1e-5 in transformers
        short = name.removeprefix("codec_model.").replace("embed_sum", "embed")
        for long, other in SHORT[4:6]:
            short = short.replace(long, other)
        values[name] = out.put(short, array, kind)
        values[name.replace("embed_sum", "cluster_usage")] = np.ones(len(array), np.float32)
    out.put("mimi.decode.kernel", np.full((1920, 1, 1), 1 / 1920), kind)
    depth = config["depth_decoder_config"]
    out.put("lm.depth.rope_freq_factors", rope_factors(depth), Type.F32)
    floats = kind if kind in FLOATS else Type.F16
    table = next(n for n in tensors if n in AUDIO_TABLES)
    values[table] = np.concatenate([out.put(f"lm.audio_embd_{i}.weight", part, floats) for i, part
                                    in enumerate(np.split(tensors[table],
                                                          config["num_codebooks"]))])
    heads = "depth_decoder.codebooks_head.weight"
    values[heads] = np.stack([out.put(f"lm.depth.heads_{i}.weight", part.T, floats).T
                              for i, part in enumerate(tensors[heads])])
    for name, short in ("lm_head.weight", "lm.c0_head.weight"), \
                       ("depth_decoder.model.inputs_embeds_projector.weight",
                        "lm.depth.in_proj.weight"):
        values[name] = out.put(short, tensors[name], floats)
    norm = "depth_decoder.model.norm.weight"
    values[norm] = out.put("lm.depth.output_norm.weight", tensors[norm], Type.F32)
    for name, array in sorted(tensors.items()):
        if match := re.fullmatch(r"depth_decoder\.model\.layers\.(\d+)\.(.+)\.weight", name):
            short = f"lm.depth.blk_{match[1]}.{DEPTH_LEAVES[match[2]]}.weight"
            values[name] = out.put(short, array, Type.F32 if array.ndim == 1 else floats)
    out.close()
    return values


def pair(directory, model, kind=Type.F32, codec=Type.F32):
    """Both files of codec.cpp; the values by HF's names."""
    directory.mkdir()
    return (backbone(directory / "backbone.gguf", model, kind) |
            rest(directory / "csm.gguf", model, codec))
