# SPDX-License-Identifier: Apache-2.0
"""One model of random weights in every layout: csm binds the same numbers in each.

The layouts are written here from transformers' model; what csm bound comes from
dump_checkpoint, whose tensors are named PART.ROLE.INDEX by number."""

import json
import os
import random
import re
import shutil
import subprocess

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CsmConfig, CsmForConditionalGeneration, MimiModel

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
BACKBONE, DEPTH, ENCODER, DECODER = range(4)  # csm_part
Q, K, HEAD = 2, 3, 17  # of csm_role
LANGUAGE, CODEC = 1, 2
ROPE = dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=0.125,
            high_freq_factor=0.5, original_max_position_embeddings=1024)


def config(rng):
    """Sizes that differ from each other wherever they may."""
    codebooks, vocab = rng.choice([3, 5]), rng.choice([35, 67])
    heads, depth_heads, codec_heads = rng.choice([(4, 2), (4, 4)]), rng.choice([(4, 1), (2, 2)]), 2
    width, depth_width = 128, 64
    return CsmConfig(
        num_codebooks=codebooks, vocab_size=vocab, text_vocab_size=rng.choice([100, 131]),
        hidden_size=width, intermediate_size=192, num_hidden_layers=rng.choice([2, 3]),
        num_attention_heads=heads[0], num_key_value_heads=heads[1], head_dim=rng.choice([32, 64]),
        rope_parameters=dict(ROPE), bos_token_id=96, pad_token_id=98, audio_token_id=98,
        audio_eos_token_id=99, codebook_pad_token_id=vocab - 1,
        depth_decoder_config=dict(
            num_codebooks=codebooks, backbone_hidden_size=width, vocab_size=vocab,
            hidden_size=depth_width, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=depth_heads[0], num_key_value_heads=depth_heads[1],
            head_dim=rng.choice([16, 32]), rope_parameters=dict(ROPE)),
        codec_config=dict(
            model_type="mimi", hidden_size=32, num_filters=rng.choice([2, 4]),
            num_hidden_layers=2, num_attention_heads=codec_heads, num_key_value_heads=codec_heads,
            head_dim=16, intermediate_size=48, sliding_window=9, codebook_size=32, codebook_dim=8,
            num_quantizers=codebooks + 1, vector_quantization_hidden_dimension=8,
            upsample_groups=rng.choice([32, 16])))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The HF directory, its tensors, and its config as a dict."""
    print(f"CSM_SEED={SEED}")
    torch.manual_seed(SEED)
    model = CsmForConditionalGeneration(config(random.Random(SEED)))
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    directory = tmp_path_factory.mktemp("hf")
    model.save_pretrained(directory)
    tensors = load_file(directory / "model.safetensors")
    return directory, tensors, json.loads((directory / "config.json").read_text())


def bound(build_dir, directory, needs, tmp_path):
    out = tmp_path / "bound.safetensors"
    done = subprocess.run([build_dir / "bin" / "dump_checkpoint", directory, out, str(needs)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with safe_open(out, "pt") as f:
        facts = f.metadata()
    return load_file(out), facts, done.stdout.split(maxsplit=2)


def to_pairs(w, n_heads):
    """Rows of q or k from rotated halves to rotated pairs."""
    return w.view(n_heads, 2, w.shape[0] // n_heads // 2, -1).transpose(1, 2).reshape(w.shape)


def heads_of(c, depth, which):
    c = c["depth_decoder_config"] if depth else c
    return c["num_attention_heads" if which == "q" else "num_key_value_heads"]


SESAME = {"self_attn": "attn", "o_proj": "output_proj", "gate_proj": "w1", "up_proj": "w3",
          "down_proj": "w2", "input_layernorm.weight": "sa_norm.scale",
          "post_attention_layernorm.weight": "mlp_norm.scale", "norm.weight": "norm.scale"}


def language_of(tensors, c, layout):
    """Sesame's or csm-mlx's names and rows of the language model."""
    fixed = {"lm_head.weight": "codebook0_head.weight",
             "embed_text_tokens.weight": "text_embeddings.weight",
             "depth_decoder.model.embed_tokens.weight": "audio_embeddings.weight",
             "depth_decoder.model.inputs_embeds_projector.weight": "projection.weight",
             "depth_decoder.codebooks_head.weight": "audio_head"}
    out = {}
    for name, w in tensors.items():
        if name.startswith("codec_model."):
            continue
        which = re.search(r"\.([qk])_proj", name)
        if which:
            w = to_pairs(w, heads_of(c, name.startswith("depth"), which[1]))
        if name in fixed:
            out[fixed[name]] = w
            continue
        name = name.replace("depth_decoder.model.", "decoder.").replace("backbone_model.",
                                                                        "backbone.")
        if layout == "sesame":
            name = re.sub("|".join(map(re.escape, SESAME)), lambda m: SESAME[m[0]], name)
        out[name] = w
    return {k: v.contiguous() for k, v in out.items()}


def kyutai_of(tensors, c):
    """Kyutai's names of the codec, q, k and v in one matrix of pairs."""
    out, fused = {}, {}
    layers = {"self_attn.o_proj": "self_attn.out_proj", "mlp.fc1": "linear1", "mlp.fc2": "linear2",
              "input_layernorm": "norm1", "post_attention_layernorm": "norm2",
              "self_attn_layer_scale": "layer_scale_1", "mlp_layer_scale": "layer_scale_2"}
    for name, w in tensors.items():
        if not name.startswith("codec_model."):
            continue
        name = name.removeprefix("codec_model.")
        m = re.match(r"(\w+)_transformer\.layers\.(\d+)\.self_attn\.([qkv])_proj", name)
        if m:
            n = c["codec_config"]["num_attention_heads"]
            fused.setdefault((m[1], m[2]), {})[m[3]] = w if m[3] == "v" else to_pairs(w, n)
            continue
        if "_transformer." in name:
            name = name.replace("_transformer.layers", "_transformer.transformer.layers")
            for a, b in layers.items():
                name = name.replace("." + a + ".", "." + b + ".")
        elif name.startswith("quantizer."):
            name = (name.replace("semantic_residual_vector_quantizer", "rvq_first")
                    .replace("acoustic_residual_vector_quantizer", "rvq_rest")
                    .replace(".layers.", ".vq.layers.").replace(".codebook.", "._codebook.")
                    .replace("embed_sum", "embedding_sum").replace(".initialized", "._initialized"))
        elif name.startswith("downsample."):
            name = "downsample.conv.conv.conv.weight"
        elif name.startswith("upsample."):
            name = "upsample.convtr.convtr.convtr.weight"
        else:
            m = re.match(r"decoder\.layers\.(\d+)\.conv\.(\w+)", name)
            strided = m and int(m[1]) not in (0, 14)
            name = name.replace(".layers.", ".model.")
            name = name.replace(".conv.", ".convtr.convtr." if strided else ".conv.conv.")
        out[name] = w
    for (side, i), parts in fused.items():
        out[f"{side}_transformer.transformer.layers.{i}.self_attn.in_proj_weight"] = torch.cat(
            [parts["q"], parts["k"], parts["v"]])
    return {k: v.contiguous() for k, v in out.items()}


def assert_same(found, expected, c, parts, pairs):
    """All weights of those parts equal; q and k turned back where they lie as pairs."""
    names = {n for n in expected if int(n.split(".")[0]) in parts}
    assert names == set(found)
    for name in sorted(names):
        part, role = (int(x) for x in name.split(".")[:2])
        w = expected[name]
        if pairs and role in (Q, K):
            n = (c["codec_config"]["num_attention_heads"] if part >= ENCODER else
                 heads_of(c, part == DEPTH, "q" if role == Q else "k"))
            w = to_pairs(w, n)
        assert torch.equal(found[name].float(), w.float()), name


@pytest.fixture
def hf(build_dir, made, tmp_path):
    return bound(build_dir, made[0], LANGUAGE | CODEC, tmp_path)


def test_hf_is_transformers_own(hf, made):
    found, facts, told = hf
    _, tensors, c = made
    assert told[:2] == ["hf", "hf"]
    assert torch.equal(found[f"{BACKBONE}.{Q}.1"], tensors["backbone_model.layers.1.self_attn.q_proj.weight"])
    assert torch.equal(found[f"{DEPTH}.{HEAD}.1.transposed"],
                       tensors["depth_decoder.codebooks_head.weight"][1])
    n = sum(v.numel() for k, v in tensors.items() if not k.startswith("codec_model."))
    assert int(float(facts["n_parameters"])) == n
    for part, own in (("backbone", c), ("depth", c["depth_decoder_config"])):
        assert int(facts[f"{part}.head_dim"]) == own["head_dim"]
        assert int(facts[f"{part}.n_layers"]) == own["num_hidden_layers"]
        assert float(facts[f"{part}.rope.high_freq_factor"]) == 0.5


def legacy(c):
    """The spelling of transformers 4."""
    out = json.loads(json.dumps(c))
    for own in (out, out["depth_decoder_config"], out["codec_config"]):
        rope = own.pop("rope_parameters")
        own["rope_theta"] = rope.pop("rope_theta")
        own["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    out["torch_dtype"] = out.pop("dtype")
    out["tie_word_embeddings"] = False
    return out


def test_shards_with_both_tables_and_the_old_spelling(build_dir, hf, made, tmp_path):
    directory, tensors, c = made
    tensors = dict(tensors)
    tensors["backbone_model.embed_tokens.embed_audio_tokens.weight"] = \
        tensors["depth_decoder.model.embed_tokens.weight"].clone()
    where = tmp_path / "hub"
    where.mkdir()
    names, weight_map = sorted(tensors), {}
    for i in range(3):
        part = {n: tensors[n] for n in names[i::3]}
        save_file(part, where / f"transformers-0000{i + 1}-of-00003.safetensors")
        weight_map.update({n: f"transformers-0000{i + 1}-of-00003.safetensors" for n in part})
    (where / "transformers.safetensors.index.json").write_text(json.dumps(
        {"metadata": {}, "weight_map": weight_map}))
    # Sesame's own file beside it, as on the hub: HF's shards go first.
    save_file(language_of(made[1], c, "sesame"), where / "model.safetensors")
    (where / "config.json").write_text(json.dumps(legacy(c)))
    found, facts, told = bound(build_dir, where, LANGUAGE | CODEC, tmp_path)
    assert told[:2] == ["hf", "hf"]
    assert_same(found, hf[0], c, range(4), pairs=False)
    assert facts == hf[1]


@pytest.mark.parametrize("table", ["depth_decoder.model.embed_tokens.weight",
                                   "backbone_model.embed_tokens.embed_audio_tokens.weight"])
def test_a_tied_table_under_either_name(build_dir, hf, made, tmp_path, table):
    directory, tensors, c = made
    where = tmp_path / "tied"
    shutil.copytree(directory, where)
    tensors = {k.replace("depth_decoder.model.embed_tokens.weight", table): v
               for k, v in tensors.items()}
    save_file(tensors, where / "model.safetensors")
    found, _, _ = bound(build_dir, where, LANGUAGE | CODEC, tmp_path)
    assert_same(found, hf[0], c, range(4), pairs=False)


def test_sesame_with_kyutais_codec_beside(build_dir, hf, made, tmp_path):
    _, tensors, c = made
    where = tmp_path / "sesame"
    where.mkdir()
    save_file(language_of(tensors, c, "sesame"), where / "model.safetensors")
    save_file(kyutai_of(tensors, c), where / "tokenizer-e351c8d8-checkpoint125.safetensors")
    (where / "config.json").write_text(json.dumps(legacy(c)))
    found, facts, told = bound(build_dir, where, LANGUAGE | CODEC, tmp_path)
    assert told[:2] == ["sesame", "kyutai"]
    assert_same(found, hf[0], c, range(4), pairs=True)
    assert facts["backbone.rope.interleaved"] == facts["codec.rope.interleaved"] == "1"


def test_standalone_mimi_beside_csm_mlx(build_dir, hf, made, tmp_path):
    """The codec as MimiModel.save_pretrained writes it."""
    _, tensors, c = made
    where = tmp_path / "mlx"
    where.mkdir()
    save_file(language_of(tensors, c, "mlx"), where / "ckpt.safetensors")
    save_file({k.removeprefix("codec_model."): v for k, v in tensors.items()
               if k.startswith("codec_model.")}, where / "mimi.safetensors")
    (where / "config.json").write_text(json.dumps(c))
    found, _, told = bound(build_dir, where, LANGUAGE | CODEC, tmp_path)
    assert told[:2] == ["mlx", "hf"]
    assert_same({k: v for k, v in found.items() if k[0] in "01"}, hf[0], c, (0, 1), pairs=True)
    assert_same({k: v for k, v in found.items() if k[0] in "23"}, hf[0], c, (2, 3), pairs=False)

    alone = tmp_path / "mimi"
    MimiModel(CsmConfig(**c).codec_config).save_pretrained(alone)
    shutil.copyfile(where / "mimi.safetensors", alone / "model.safetensors")
    found, _, told = bound(build_dir, alone, CODEC, tmp_path)
    assert told[:2] == ["none", "hf"]
    assert_same(found, hf[0], c, (2, 3), pairs=False)


@pytest.mark.parametrize("prefix, bits, group", [("", 8, 64), ("model.", 4, 64), ("", 4, 32)])
def test_quantized(build_dir, made, tmp_path, prefix, bits, group):
    """mx.quantize's words, scales and biases arrive as they are; layers left out stay float."""
    _, tensors, c = made
    where = tmp_path / "quantized"
    where.mkdir()
    packed = {}
    for name, w in language_of(tensors, c, "mlx").items():
        w = mx.array(w.numpy())
        if w.ndim == 2 and w.shape[1] % 64 == 0 and not name.startswith("projection"):
            stem = name.removesuffix(".weight")
            own = 8 if name.startswith("text_embeddings") else bits
            q, s, b = mx.quantize(w, group, own)
            packed |= {f"{prefix}{stem}.weight": q, f"{prefix}{stem}.scales": s,
                       f"{prefix}{stem}.biases": b}
        else:
            packed[prefix + name] = w
    mx.save_safetensors(str(where / "model.safetensors"), packed)
    c = dict(c, quantization={"group_size": group, "bits": bits, "mode": "affine",
                              f"{prefix}text_embeddings": {"group_size": group, "bits": 8}})
    (where / "config.json").write_text(json.dumps(c))
    found, _, told = bound(build_dir, where, LANGUAGE, tmp_path)
    assert told[0] == "mlx" and told[2].startswith(f"q{bits} group {group}")
    for suffix, key in (("", "weight"), (".scales", "scales"), (".biases", "biases")):
        expected = np.array(packed[f"{prefix}backbone.layers.1.self_attn.q_proj.{key}"])
        assert np.array_equal(found[f"0.2.1{suffix}"].numpy(), expected)

    # What the file says of a layer must be what lies there.
    c["quantization"]["bits"] = 12 - bits
    (where / "config.json").write_text(json.dumps(c))
    done = subprocess.run([build_dir / "bin" / "dump_checkpoint", where, tmp_path / "x", "1"],
                          capture_output=True, text=True)
    assert done.returncode == 3 and "by config.json" in done.stderr


def test_sesames_flavors(build_dir, tmp_path):
    """No sizes in the file: an unknown flavor is refused, its merged config taken."""
    rng = random.Random(SEED)
    c = config(rng)
    torch.manual_seed(SEED)
    model = CsmForConditionalGeneration(c)
    hf = tmp_path / "hf"
    model.save_pretrained(hf)
    c = json.loads((hf / "config.json").read_text())
    where = tmp_path / "flavored"
    where.mkdir()
    save_file(language_of(load_file(hf / "model.safetensors"), c, "sesame"),
              where / "model.safetensors")
    flavored = dict(backbone_flavor="own", decoder_flavor="own",
                    text_vocab_size=c["text_vocab_size"], audio_vocab_size=c["vocab_size"],
                    audio_num_codebooks=c["num_codebooks"])
    (where / "config.json").write_text(json.dumps(flavored))
    done = subprocess.run([build_dir / "bin" / "dump_checkpoint", where, tmp_path / "x", "1"],
                          capture_output=True, text=True)
    assert done.returncode == 3 and "own: unknown flavor" in done.stderr
    (where / "config.json").write_text(json.dumps(flavored | {
        "num_attention_heads": c["num_attention_heads"], "head_dim": c["head_dim"],
        "num_key_value_heads": c["num_key_value_heads"],
        "depth_decoder_config": {k: c["depth_decoder_config"][k] for k in
                                 ("num_attention_heads", "num_key_value_heads", "head_dim")}}))
    _, facts, told = bound(build_dir, where, LANGUAGE, tmp_path)
    assert told[0] == "sesame" and facts["backbone.rope.factor"] == "32"
    (where / "config.json").write_text(json.dumps(flavored))
    (where / "config.merged.json").write_text(json.dumps(legacy(c)))
    bound(build_dir, where, LANGUAGE, tmp_path)
