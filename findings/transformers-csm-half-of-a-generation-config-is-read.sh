#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: of the generation_config.json that save_pretrained wrote, edited afterwards, a CSM reads half. The
# file says "_from_model_config": true, and while it does, keys that are not GenerationConfig's own are dropped when it
# is read. CSM's settings of the depth decoder are such keys: depth_decoder_do_sample, depth_decoder_temperature.
# Those of the first code act, those of the other codes do not, and nothing is said.
#
# Seen here: temperature 0.5 and depth_decoder_temperature 0.5 are put into the file that save_pretrained wrote. The
# model's settings have the first, the depth decoder's not the second: it is greedy, so that wherever two seeds give the
# same first code, the other codes of the frame are the same. Without the line "_from_model_config" both act.
#
# csm does as transformers does, and says so.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import json
import pathlib
import sys
from importlib.metadata import version

import torch
from transformers import CsmConfig, CsmForConditionalGeneration

print({name: version(name) for name in ("transformers", "torch")})
torch.manual_seed(0)
CsmForConditionalGeneration(CsmConfig(
    num_codebooks=4, vocab_size=67, text_vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, bos_token_id=1, pad_token_id=100, audio_token_id=100,
    audio_eos_token_id=101, codebook_pad_token_id=66, codebook_eos_token_id=0,
    depth_decoder_config={"num_codebooks": 4, "backbone_hidden_size": 64, "vocab_size": 67, "hidden_size": 32,
                          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "num_key_value_heads": 1, "head_dim": 16},
    codec_config={"model_type": "mimi", "num_filters": 8, "hidden_size": 64, "num_hidden_layers": 2,
                  "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 128,
                  "codebook_size": 64, "codebook_dim": 16, "vector_quantization_hidden_dimension": 16,
                  "num_quantizers": 4, "upsample_groups": 64})).save_pretrained("model")
path = pathlib.Path("model/generation_config.json")
written = json.loads(path.read_text())
settings = {"do_sample": True, "temperature": 0.5, "depth_decoder_do_sample": True, "depth_decoder_temperature": 0.5}


def read(content):
    path.write_text(json.dumps(content))
    model = CsmForConditionalGeneration.from_pretrained("model").eval()
    text = torch.arange(1, 21)[None]
    frames = []
    for seed in range(40):
        torch.manual_seed(seed)
        frames.append(model.generate(text, max_new_tokens=1)[0, 0].tolist())
    rest = {}
    for first, *others in frames:
        rest.setdefault(first, set()).add(tuple(others))
    is_greedy = all(len(found) == 1 for found in rest.values()) and len(rest) < 40
    return model.generation_config.temperature, model.depth_decoder.generation_config.temperature, is_greedy


made = read(written | settings)
plain = read({k: v for k, v in (written | settings).items() if not k.endswith("_from_model_config")})
print("the file that save_pretrained wrote says _from_model_config:", written.get("_from_model_config"))
print("with it: temperature, the depth decoder's, other codes follow from the first alone:", made)
print("without it:", plain)
sys.exit(not (written.get("_from_model_config") is True and made[0] == 0.5 and made[1] != 0.5 and made[2] and plain == (0.5, 0.5, False)))
PY
