# SPDX-License-Identifier: Apache-2.0
"""Models of the family whose shape or tokenizer differs from csm-1b's: tokens against
transformers, live, on random weights."""

import json
import os
import random

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, processors

from test_tokenizer import smollm2
from transformers_frames import Reference, random_model

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
BACKBONE, DEPTH = (2, 64, 4, 2, 16, 96), (1, 48, 4, 1, 12, 80)


def drawn(csm, model, text, *more):
    out = model.parent / "t.safetensors"
    csm("generate", "--model-path", model, "--text", text, "--engine", "native", "--dtype", "f32",
        "--strategy", "exact", "--seed", 5, "--temperature", 0.9, "--topk", 50, "--no-normalize",
        "--max-audio-length-ms", 320, "--output", "none", "--save-tokens", out, "--quiet", *more)
    return load_file(out)["codes"].numpy()


@pytest.mark.parametrize("n", [2, 6, 64])
def test_a_text_table_that_grew(csm, tmp_path, n):
    """New tokens (<laugh>, <sigh>) added, the table resized and saved by transformers."""
    model = random_model(tmp_path / "m", SEED, 4, BACKBONE, DEPTH)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    words = ["<laugh>", "<sigh>"] + [f"<sound_{i}>" for i in range(n - 2)]
    assert tokenizer.add_tokens(words) == n
    tokenizer.save(str(model / "tokenizer.json"))
    tensors = load_file(model / "model.safetensors")
    table = tensors["embed_text_tokens.weight"]
    torch.manual_seed(SEED)
    size = max(tokenizer.token_to_id(w) for w in words) + 1
    new = torch.randn(max(size - len(table), 0), table.shape[1]) * 0.15
    tensors["embed_text_tokens.weight"] = torch.cat([table, new])
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    config["text_vocab_size"] = len(tensors["embed_text_tokens.weight"])
    (model / "config.json").write_text(json.dumps(config))
    text = "Hello <laugh> there" + words[-1]
    codes = drawn(csm, model, text)
    want, _ = Reference(model, "f32").generate(text, len(codes), seed=5)
    assert np.array_equal(codes, want)


@pytest.mark.parametrize("has_template", [True, False])
def test_a_marvis_models_shape_and_prompt(csm, tmp_path, has_template):
    """Three query heads to a key (12 / 3, and 8 / 2), SmolLM2's tokens, <|im_start|> and <|im_end|>
    around a text, whether the tokenizer has them as its template or not."""
    model = random_model(tmp_path / "m", SEED, 8, (2, 96, 12, 3, 8, 128), (2, 64, 8, 2, 8, 96))
    plain = json.dumps(smollm2(random.Random(SEED)))
    tokenizer = Tokenizer.from_str(plain)
    ends = [(t, tokenizer.token_to_id(t)) for t in ("<|im_start|>", "<|im_end|>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|>:0 $A:0 <|im_end|>:0", special_tokens=ends)
    tensors = load_file(model / "model.safetensors")
    width, size = tensors["embed_text_tokens.weight"].shape[1], tokenizer.get_vocab_size()
    torch.manual_seed(SEED)
    tensors["embed_text_tokens.weight"] = torch.randn(size, width) * 0.15
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    config["text_vocab_size"] = size
    (model / "config.json").write_text(json.dumps(config))
    text = "Hello there, 12 wonderful words"
    (model / "tokenizer.json").write_text(tokenizer.to_str() if has_template else plain)
    codes = drawn(csm, model, text)
    (model / "tokenizer.json").write_text(tokenizer.to_str())
    want, _ = Reference(model, "f32").generate(text, len(codes), seed=5)
    assert len(codes) > 0 and np.array_equal(codes, want)


def test_a_tiny_random_models_shape(csm, tmp_path):
    """Special ids elsewhere, two ratios of the codec, few of everything."""
    torch.manual_seed(SEED)
    common = dict(num_codebooks=4, vocab_size=67)
    config = transformers.CsmConfig(
        **common, text_vocab_size=532, hidden_size=32, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=516, audio_token_id=518,
        audio_eos_token_id=519, pad_token_id=2, codebook_pad_token_id=66, codebook_eos_token_id=3,
        depth_decoder_config=dict(**common, backbone_hidden_size=32, hidden_size=32,
                                  intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                                  num_key_value_heads=2),
        codec_config=dict(model_type="mimi", audio_channels=1, chunk_in_sec=None, hidden_size=32,
                          num_filters=8, num_residual_layers=1, upsampling_ratios=[8, 4],
                          codebook_size=64, vector_quantization_hidden_dimension=16,
                          codebook_dim=16, upsample_groups=32, num_hidden_layers=2,
                          num_attention_heads=2, num_key_value_heads=2, sliding_window=4,
                          intermediate_size=32, num_quantizers=4))
    model = transformers.CsmForConditionalGeneration(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2 and not name.startswith("codec_model."):
                p.normal_(std=0.2)
    directory = tmp_path / "m"
    model.save_pretrained(directory)
    golden = os.path.join(os.path.dirname(__file__), "..", "golden", "csm-a", "tokenizer.json")
    (directory / "tokenizer.json").write_bytes(open(golden, "rb").read())
    codes = drawn(csm, directory, "Hello there")
    want, _ = Reference(directory, "f32").generate("Hello there", max(len(codes), 1), seed=5)
    assert np.array_equal(codes, want[:len(codes)]) and len(codes) > 0


@pytest.mark.parametrize("end, least, first_codes", [
    (0, 0, None), (0, 160, [1, 1]), (3, 0, [0] * 4), (3, 160, [0] * 4)])
def test_the_code_that_ends_speech_is_the_configs(csm, tmp_path, end, least, first_codes):
    """Heads of zeros and greedy draws: the first code that is not masked, always. 0 ends speech
    only where the config says so, and only it is masked until the least length."""
    model = random_model(tmp_path / "m", SEED, 4, BACKBONE, DEPTH)
    tensors = load_file(model / "model.safetensors")
    for name in [n for n in tensors if "head" in n]:
        tensors[name] = torch.zeros_like(tensors[name])
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    config["codebook_eos_token_id"] = end
    (model / "config.json").write_text(json.dumps(config))
    options = ("--temperature", 0, "--min-audio-length-ms", least)
    if first_codes is None:
        with pytest.raises(AssertionError, match="exit 1: csm: the model ended its speech before"):
            drawn(csm, model, "Hello", *options)
        return
    codes = drawn(csm, model, "Hello", *options)
    assert codes[:, 0].tolist() == first_codes
    assert not codes[:, 1:].any()
