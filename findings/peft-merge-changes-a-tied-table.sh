#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peft 0.21.2 over transformers 5.24.0: an adapter (LoRA) on CSM's table of audio tokens. The backbone and the depth
# decoder share that table. While the adapter is beside the model, the backbone alone has it; merge_and_unload adds it
# to the shared numbers, and so to the depth decoder. The merged model draws other codes than the trained one. peft
# warns of merging tied tables and names an option, ensure_weight_tying=True. With it, it warns that no tied module is
# among the targets, and merges as before.
#
# Seen here: random weights: merging leaves the backbone's logits as they were and moves the depth decoder's
# by 0.3 and more, with the option and without it.
#
# Train the table by modules_to_save=["embed_audio_tokens"], which is merged rightly. csm makes the tables
# two when one of them has an adapter, as they are beside the model.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check peft==0.21.2 transformers==5.24.0 torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import torch
from peft import LoraConfig, get_peft_model
from transformers import CsmConfig, CsmForConditionalGeneration

print({name: version(name) for name in ("peft", "transformers", "torch")})
CONFIG = CsmConfig(
    num_codebooks=4, vocab_size=67, text_vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, bos_token_id=1, pad_token_id=100, audio_token_id=100,
    audio_eos_token_id=101, codebook_pad_token_id=66, codebook_eos_token_id=0,
    depth_decoder_config={"num_codebooks": 4, "backbone_hidden_size": 64, "vocab_size": 67, "hidden_size": 32,
                          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "num_key_value_heads": 1, "head_dim": 16},
    codec_config={"model_type": "mimi", "num_filters": 8, "hidden_size": 64, "num_hidden_layers": 2,
                  "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 128,
                  "codebook_size": 64, "codebook_dim": 16, "vector_quantization_hidden_dimension": 16,
                  "num_quantizers": 4, "upsample_groups": 64})


def logits(model):
    """Of the backbone and of the depth decoder, for codes that do not change."""
    with torch.no_grad():
        frames = torch.arange(24).reshape(1, 6, 4)
        depth = model.depth_decoder(input_ids=torch.tensor([[0, 5, 6, 7]]),
                                    backbone_last_hidden_state=torch.full((1, 64), 0.1))
        return model(input_ids=frames).logits, depth.logits


def apart(**settings):
    """How far the merged model's logits are from those of the model with its adapter."""
    torch.manual_seed(0)
    model = CsmForConditionalGeneration(CONFIG).eval()
    table = model.backbone_model.embed_tokens.embed_audio_tokens.weight
    assert table.data_ptr() == model.depth_decoder.model.embed_tokens.weight.data_ptr()
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, **settings)).eval()
    for name, weight in adapted.named_parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn_like(weight) * 0.1)
    before = logits(adapted.get_base_model())
    return [float((a - b).abs().max()) for a, b in zip(before, logits(adapted.merge_and_unload()))]


told = {"LoRA": apart(target_modules=["embed_audio_tokens"]),
        "LoRA, tying": apart(target_modules=["embed_audio_tokens"], ensure_weight_tying=True),
        "modules_to_save": apart(target_modules=["lm_head"], modules_to_save=["embed_audio_tokens"])}
for name, (backbone, depth) in told.items():
    print(f"{name}: merging moves the backbone's logits by {backbone:.1g}, the depth decoder's by {depth:.1g}")
sys.exit(not (all(told[x][0] < 1e-5 and told[x][1] > 0.1 for x in ("LoRA", "LoRA, tying")) and
              max(told["modules_to_save"]) < 1e-5))
PY
