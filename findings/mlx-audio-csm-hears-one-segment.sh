#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx-audio 0.6.2, its CSM: generate(text, speaker, context=[...]) hears the first segment of the conversation and no
# other, and says nothing. voice_match is True unless config.json or the caller says otherwise; the prompt is then
# "[speaker]" with context[0]'s text and the new text joined, and context[0]'s sound. What the others said, their
# sounds and the first one's own speaker number are gone. Sesame's generator and transformers' hear all of them, each
# with its number.
#
# Seen here: a prompt of one segment and one of two are 26 positions each, and the ten frames drawn are the same;
# voice_match=False gives 29 and 43.
#
# A conversation that goes to mlx-audio needs voice_match=False; tokens that are compared with it need to know which it
# was.
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
    list(model.generate("Good.", speaker=1, max_audio_length_ms=800, **options))
    return frames[0][0], [codes for _, codes in frames]


noise = np.random.default_rng(0)
first = sesame.Segment(0, "How are you?", mx.array(noise.standard_normal(9600).astype("float32")))
second = sesame.Segment(1, "Fine.", mx.array(noise.standard_normal(9600).astype("float32")))
one, two = say(context=[first]), say(context=[first, second])
one_off, two_off = (say(context=c, voice_match=False) for c in ([first], [first, second]))
print("positions of the prompt:", one[0], "of one segment,", two[0], "of two; the same codes:", one == two)
print("with voice_match=False:", one_off[0], "and", two_off[0], "the same codes:", one_off == two_off)
sys.exit(0 if one == two and one_off[0] < two_off[0] else 1)
PY
