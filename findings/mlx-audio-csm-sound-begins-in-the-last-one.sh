#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mlx-audio 0.6.2, its CSM: without stream=True, generate() does not reset Mimi's decoder before a sound, so that the
# same codes become another sound when something was said before, in the same call (one line of text after another) or
# in an earlier one. Tokens agree, samples do not; the first frames hold the echo of the sentence before. With
# stream=True the decoder is reset once, at the call's first text.
#
# Seen here: Mimi with small random weights, the same seed and text twice: codes equal, samples a fifth of the loudest
# apart; after a reset by hand equal again.
#
# Sounds are compared with mlx-audio's after model._streaming_decoder.reset(), or in a new process.
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
from mlx_audio.codec.models.mimi.mimi import Mimi, mimi_202407

small = mimi_202407(4)
small.seanet.nfilters = 4
small.quantizer_bins = 64


class Codec(Mimi):
    """The package's own Mimi, small and with random weights."""

    @classmethod
    def from_pretrained(cls, name):
        codec = cls(small)
        codec.update(tree_map(lambda p: mx.random.normal(p.shape) * 0.1, codec.parameters()))
        return codec


sesame.Mimi = Codec
config["use_default_voice_prompt"] = False
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


def say():
    frames.clear()
    mx.random.seed(1)
    (result,) = model.generate("Good.", max_audio_length_ms=480)
    return list(frames), result.audio


codes, sound = say()
codes_again, sound_again = say()
model._streaming_decoder.reset()
codes_reset, sound_reset = say()
apart = mx.abs(sound - sound_again).max().item() / mx.abs(sound).max().item()
print("codes equal:", codes == codes_again == codes_reset, "| sound again:", f"{apart:.2f} of the loudest apart",
      "| after a reset equal:", mx.array_equal(sound, sound_reset).item())
same = codes == codes_again == codes_reset and mx.array_equal(sound, sound_reset).item()
sys.exit(0 if same and apart > 0.01 else 1)
PY
