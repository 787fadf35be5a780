#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers 5.24.0: MimiModel.decode takes and gives a decoder_cache, and its documentation says that one may then
# give the last audio_codes alone. The cache holds the transformer's keys and values; the convolutions and the
# upsampling begin anew with zeros at each call. Codes decoded a frame at a time are another sound than the same codes
# decoded at once. encode has padding_cache and use_streaming for this, and its pieces equal the whole.
#
# Seen here: random weights, 20 frames: sounds 0.99 of the loudest sample apart; codes of encode in pieces all equal.
#
# A stream of CSM's sound is decoded by csm (pieces equal the whole, bit for bit) or anew from the start each time.
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
from transformers import MimiConfig, MimiModel

print({name: version(name) for name in ("transformers", "torch")})
torch.manual_seed(0)
model = MimiModel(MimiConfig(
    num_filters=8, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, head_dim=16,
    intermediate_size=128, codebook_size=64, codebook_dim=16, vector_quantization_hidden_dimension=16,
    num_quantizers=4, sliding_window=25, upsample_groups=64)).eval()
for name, buffer in model.named_buffers():
    if name.endswith("embed_sum"):
        buffer.normal_()
    if name.endswith("cluster_usage"):
        buffer.fill_(1)
codes, sound = torch.randint(0, 64, (1, 4, 20)), torch.randn(1, 1, 19200) * 0.1
with torch.no_grad():
    whole, pieces, cache = model.decode(codes).audio_values, [], None
    for frame in codes.split(1, dim=-1):
        step = model.decode(frame, decoder_cache=cache, use_cache=True)
        cache = step.decoder_cache
        pieces.append(step.audio_values)
    apart = float((torch.cat(pieces, -1) - whole).abs().max() / whole.abs().max())
    read, cache, padding = [], None, None
    for frame in sound.split(1920, dim=-1):
        step = model.encode(frame, encoder_cache=cache, padding_cache=padding, use_streaming=True)
        cache, padding = step.encoder_cache, step.padding_cache
        read.append(step.audio_codes)
    equal = torch.equal(torch.cat(read, -1), model.encode(sound).audio_codes)
print(f"decode in pieces with its cache: {apart:.2f} of the loudest sample apart; encode in pieces equal: {equal}")
sys.exit(0 if apart > 0.1 and equal else 1)
PY
