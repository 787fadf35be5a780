#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: CSM's generate takes min_new_tokens and min_length and ends before them, without a word. Sound
# ends with a frame of zeros, of which the rules for the least length know nothing. And rules that look at what was
# drawn find tokens of three dimensions: repetition_penalty and no_repeat_ngram_size raise PyTorch's errors of shapes.
#
# Seen here: a model of random weights that always draws the end: min_new_tokens=5, one frame. repetition_penalty=1.1:
# "Index tensor must have the same number of dimensions as input tensor".
#
# csm refuses by name the settings of a generation_config.json that act like this (docs/MODELS.md).
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from transformers import CsmConfig, CsmForConditionalGeneration

print({name: version(name) for name in ("transformers", "torch")})
torch.manual_seed(0)
model = CsmForConditionalGeneration(CsmConfig(
    num_codebooks=4, vocab_size=67, text_vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, bos_token_id=1, pad_token_id=100, audio_token_id=100,
    audio_eos_token_id=101, codebook_pad_token_id=66, codebook_eos_token_id=0,
    depth_decoder_config={"num_codebooks": 4, "backbone_hidden_size": 64, "vocab_size": 67, "hidden_size": 32,
                          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "num_key_value_heads": 1, "head_dim": 16},
    codec_config={"model_type": "mimi", "num_filters": 8, "hidden_size": 64, "num_hidden_layers": 2,
                  "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 128,
                  "codebook_size": 64, "codebook_dim": 16, "vector_quantization_hidden_dimension": 16,
                  "num_quantizers": 4, "upsample_groups": 64})).eval()
with torch.no_grad():  # all logits are 0, so that the lowest index is drawn: the end
    model.lm_head.weight.zero_()
    model.depth_decoder.codebooks_head.weight.zero_()
text, frames, errors = torch.arange(1, 21)[None], {}, {}
for setting in ({}, {"min_new_tokens": 5}, {"min_length": 5}):
    frames[str(setting)] = model.generate(text, max_new_tokens=8, do_sample=False, **setting).shape[1]
    print(f"with {setting}: {frames[str(setting)]} frames")
model.lm_head.weight.data.normal_()
for setting in ({"repetition_penalty": 1.1}, {"no_repeat_ngram_size": 2}):
    try:
        model.generate(text, max_new_tokens=8, do_sample=False, **setting)
    except RuntimeError as error:
        errors[str(setting)] = str(error)
        print(f"with {setting}: {error}")
sys.exit(not (all(n == 1 for n in frames.values()) and len(errors) == 2))
PY
