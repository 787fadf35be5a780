# SPDX-License-Identifier: Apache-2.0
"""A valid model of a few kilobytes: what the malformed files are made of."""

import json
import struct

import numpy as np
import torch
from transformers import CsmConfig, CsmForConditionalGeneration

CONFIG = dict(
    num_codebooks=3, vocab_size=19, text_vocab_size=264, hidden_size=32, intermediate_size=32,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
    bos_token_id=256, pad_token_id=258, audio_token_id=258, audio_eos_token_id=259,
    codebook_pad_token_id=18, tie_codebooks_embeddings=True,
    depth_decoder_config=dict(num_codebooks=3, backbone_hidden_size=32, vocab_size=19,
                              hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                              num_attention_heads=2, num_key_value_heads=1),
    codec_config=dict(model_type="mimi", hidden_size=16, num_filters=2, num_hidden_layers=1,
                      num_attention_heads=2, num_key_value_heads=2, intermediate_size=16,
                      sliding_window=8, codebook_size=16, codebook_dim=8, num_quantizers=3,
                      vector_quantization_hidden_dimension=8, upsample_groups=16),
)


def byte_tokenizer():
    """Every byte a token, no merges, begin and end around a text."""
    from tokenizers import pre_tokenizers
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 256 + i, "content": t, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i, t in enumerate(special)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": special[0], "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": special[1], "type_id": 0}}],
            "pair": [],
            "special_tokens": {t: {"id": t, "ids": [256 + i], "tokens": [t]}
                               for i, t in enumerate(special[:2])}},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": True,
                  "vocab": {c: i for i, c in enumerate(letters)}, "merges": []}}


def write(directory):
    """The model, as transformers saves it, and its tokenizer."""
    torch.manual_seed(1)
    CsmForConditionalGeneration(CsmConfig(**CONFIG)).save_pretrained(directory)
    (directory / "tokenizer.json").write_text(json.dumps(byte_tokenizer()))


def read_safetensors(path):
    """Header as a dict, and the bytes after it."""
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + n]), raw[8 + n:]


def write_safetensors(path, header, data):
    """`header` a dict, or bytes as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def replace_tensor(path, name, array, dtype=None, rename=None):
    """Rewrite a file with one tensor replaced (None: dropped)."""
    header, data = read_safetensors(path)
    out, body = {}, b""
    kinds = {"float32": "F32", "float16": "F16", "int32": "I32", "uint32": "U32", "uint8": "U8"}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw, shape, kind = data[begin:end], entry["shape"], entry["dtype"]
        if key == name:
            if array is None:
                continue
            raw, shape = array.tobytes(), list(array.shape)
            kind = dtype or kinds[str(array.dtype)]
            key = rename or key
        out[key] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    write_safetensors(path, out, body)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)
