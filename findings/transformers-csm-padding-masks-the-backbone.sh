#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: of a CSM, depth_decoder_pad_token_id=0 in generation_config.json, or given to generate, takes the
# backbone's word from the depth decoder. Its ids are a place holder, 0, where the backbone's state is put, and the first
# code of the frame. generate infers a mask from ids that equal the padding token, so that the state is masked: the
# other codes of a frame follow from its first one alone, whatever the text. Another value masks that code in frames
# that begin with it. Nothing is said.
#
# Seen here: random weights, greedy: two states of the backbone give other codes, as they should, without a padding
# token; with 0 both give the same ones. With the first code as padding token, two first codes give the same ones.
#
# csm refuses such a generation_config.json by name.
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
from transformers import CsmDepthDecoderConfig, CsmDepthDecoderForCausalLM

print({name: version(name) for name in ("transformers", "torch")})
torch.manual_seed(0)
model = CsmDepthDecoderForCausalLM(CsmDepthDecoderConfig(
    num_codebooks=4, backbone_hidden_size=64, vocab_size=67, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, head_dim=16)).eval()
with torch.no_grad():
    for p in model.parameters():
        if p.dim() > 1:
            p.normal_(std=0.3)
one, other = torch.randn(2, 1, 64)


def codes(state, first=7, **settings):
    ids = model.generate(input_ids=torch.tensor([[0, first]]), backbone_last_hidden_state=state, do_sample=False,
                         min_new_tokens=3, max_new_tokens=3, **settings)
    return ids[0, 2:].tolist()


without = codes(one), codes(other)
with_zero = codes(one, pad_token_id=0), codes(other, pad_token_id=0)
with_first = codes(one, 7, pad_token_id=7), codes(one, 9, pad_token_id=9)
first = codes(one, 7), codes(one, 9)
print("two states of the backbone, no padding token:", *without)
print("two states of the backbone, padding token 0: ", *with_zero)
print("two first codes, no padding token:           ", *first)
print("two first codes, each the padding token:     ", *with_first)
sys.exit(not (without[0] != without[1] and with_zero[0] == with_zero[1] and first[0] != first[1]
              and with_first[0] == with_first[1]))
PY
