#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx-audio 0.6.2: `mlx_audio.tts.generate --temperature`, --top_p, --top_k, --max_tokens and the server's fields of
# these names reach CSM's generate() as keywords, where **kwargs takes them and nobody reads them: it always draws at
# temperature 0.9 with the 50 best, for as long as max_audio_length_ms says. No warning. Other models of the package
# obey the same options.
#
# Seen here: temperature 0.01 and 5, top_k 1 and max_tokens 2 draw the very ten frames of a call without them; a
# `sampler` of one's own does change them.
#
# Who compares draws with mlx-audio gives it sampler=make_sampler(temp=..., top_k=...).
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check mlx-audio==0.6.2 'mlx[cpu]==0.32.4' transformers==5.24.0
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_audio.tts.models.sesame import sesame

print("mlx-audio", version("mlx-audio"), "mlx", version("mlx"))
# A CSM of two small layers with random weights; letters are its ids.
letters = {chr(c): c - 30 for c in range(32, 127)}


class Tokenizer:
    def encode(self, text, return_tensors=None):
        return mx.array([[letters[c] for c in text]])


half = dict(
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, hidden_size=64,
    intermediate_size=128, rms_norm_eps=1e-5, vocab_size=64, max_position_embeddings=2048, rope_theta=5e5,
    attention_bias=False, mlp_bias=False, attention_dropout=0.0, hidden_act="silu", initializer_range=0.02,
    use_cache=True, rope_scaling={
        "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"})
depth = dict(half, backbone_hidden_size=64, num_codebooks=4, model_type="csm_depth_decoder_model")
config = dict(half, model_type="csm", text_vocab_size=128, audio_vocab_size=64, audio_num_codebooks=4,
              backbone_flavor="small", decoder_flavor="small", depth_decoder_config=depth)
sesame.load_llama3_tokenizer = lambda name: Tokenizer()
sesame.load_watermarker = lambda: None


class Codec:
    """Stands for Mimi, whose weights are not here: a code is told by the frame's first sample."""

    class cfg:
        sample_rate = 24000

    @classmethod
    def from_pretrained(cls, name):
        return cls()

    def eval(self):
        pass

    def encode(self, audio):
        first = np.abs(np.array(audio)[0, 0, ::1920])
        return mx.zeros((1, 4, 1), dtype=mx.int32) + mx.array((first * 1000).astype("int32") % 60 + 1)

    def decode_frames(self, codes):
        return mx.zeros((1, 1, codes.shape[-1] * 1920))

    def reset(self):
        pass


sesame.Mimi = Codec
sesame.MimiStreamingDecoder = lambda codec: codec

mx.random.seed(0)
model = sesame.Model(config)
model.model.update(tree_map(lambda p: mx.random.normal(p.shape) * 0.3, model.model.parameters()))

frames = []
draw = model.model.generate_frame


def noted(tokens, *rest):
    frame = draw(tokens, *rest)
    frames.append((tokens.shape[1], frame.tolist()))
    return frame


model.model.generate_frame = noted


def say(**options):
    frames.clear()
    mx.random.seed(1)
    segment = sesame.Segment(0, "Hello.", mx.array(np.ones(1920, dtype="float32")))
    list(model.generate("Good.", context=[segment], max_audio_length_ms=800, **options))
    return list(frames)


plain = say()
ignored = {str(o): say(**o) == plain for o in (
    dict(temperature=0.01), dict(temperature=5.0), dict(top_k=1), dict(top_p=0.1), dict(max_tokens=2))}
sampler = say(sampler=sesame.make_sampler(temp=0.01)) == plain
print(len(plain), "frames; the same with", ignored, "and with a sampler of its own:", sampler)
sys.exit(0 if all(ignored.values()) and not sampler else 1)
PY
