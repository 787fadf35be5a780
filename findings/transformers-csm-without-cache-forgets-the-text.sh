#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: CSM's generate with use_cache=False forgets the text. The first frame is drawn from the prompt;
# from the second on, the backbone is given the frames alone, since generate puts the first frame in the text's place.
# Nothing is said. depth_decoder_use_cache=False likewise forgets the backbone's row after one code of a frame, and is
# warned of. Other models' generate gives equal tokens with the cache and without it.
#
# Seen here: random weights, greedy, a text of 20 tokens: of 10 frames without the cache the first alone is as with it.
# The logits of the second frame are, bit for bit, those of the first frame given alone, without any text. Without the
# depth decoder's cache two of a frame's four codes are right.
#
# A cache is switched off for comparisons and while gradient checkpointing is on. csm always has one.
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
text = torch.arange(1, 21)[None]


def spoken(**settings):
    return model.generate(text, max_new_tokens=10, do_sample=False, return_dict_in_generate=True, output_logits=True,
                          **settings)


cached, uncached = spoken(), spoken(use_cache=False)
equal = (cached.sequences == uncached.sequences)[0].all(-1).tolist()
with torch.no_grad():
    alone = model(input_ids=uncached.sequences[:, :1]).logits[:, -1]
forgot = torch.equal(uncached.logits[1], alone)
depth = (cached.sequences == spoken(depth_decoder_use_cache=False).sequences)[0, 0].tolist()
print("frames equal with and without the cache:", equal)
print("logits of the second frame are those of the first frame without the text:", forgot)
print("codes of the first frame equal with and without the depth decoder's cache:", depth)
sys.exit(not (equal[0] and sum(equal) < 5 and forgot and depth[:2] == [True, True] and not all(depth)))
PY
