# SPDX-License-Identifier: Apache-2.0
"""The small random model of tests/golden/csm-a in the programs that people have: transformers,
csm-mlx (restated by tests/reference/csm_mlx_calls.py: it is on no index), mlx-audio, and Sesame's
generator (its calls restated: torchtune pins old companions)."""

import json
import sys
import types
from dataclasses import dataclass

import mlx.core as mx
import torch
import transformers
from conftest import ROOT
from transformers import CsmForConditionalGeneration, CsmProcessor, EncodecFeatureExtractor

sys.path.append(str(ROOT / "tests" / "reference"))
import csm_mlx_calls
import layouts
import sesame_model

CSM_A = ROOT / "tests" / "golden" / "csm-a"

# What transformers' converter writes for csm-1b, for turns of text and sound.
TEMPLATE = ("{% for message in messages %}{% for content in message['content'] %}"
            "{% if content['type'] == 'text' %}<|begin_of_text|>[{{ message['role'] }}]"
            "{{ content['text'] }}<|end_of_text|>{% elif content['type'] == 'audio' %}"
            "<|AUDIO|><|audio_eos|>{% endif %}{% endfor %}{% endfor %}")


def tokenizer():
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(CSM_A / "tokenizer.json"), bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>", pad_token="<|AUDIO|>",
        extra_special_tokens={"audio_token": "<|AUDIO|>", "audio_eos_token": "<|audio_eos|>"})


def transformers_model(folder):
    """As from a download: a directory with model and processor, then from_pretrained."""
    CsmProcessor(tokenizer=tokenizer(), feature_extractor=EncodecFeatureExtractor(),
                 chat_template=TEMPLATE).save_pretrained(folder)
    for name in "config.json", "model.safetensors", "generation_config.json":
        (folder / name).write_bytes((CSM_A / name).read_bytes())
    return CsmForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()


def mlx_weights():
    """csm-mlx's and mlx-audio's names, the values of csm-a in float32."""
    config, tensors = layouts.read(CSM_A)
    return layouts.old_spelling(config), {
        name: mx.array(value.float().numpy())
        for name, value in layouts.names(tensors, config, layouts.MLX)}


def csm_mlx_model():
    config, weights = mlx_weights()
    return csm_mlx_calls.load(weights, config)


def mlx_audio_model(folder):
    """mlx-audio's own model; what it would download (tokenizer, codec) is small and local."""
    from mlx_audio.codec.models.mimi import mimi
    from mlx_audio.tts.models.sesame import sesame

    config, weights = mlx_weights()
    tokenizer().save_pretrained(folder)
    n_codebooks = config["num_codebooks"]
    small = mimi.mimi_202407(n_codebooks)
    small.seanet.nfilters = 4
    small.transformer.num_layers = 1
    download, sesame.Mimi.from_pretrained = (sesame.Mimi.from_pretrained,
                                             staticmethod(lambda repo: mimi.Mimi(small)))
    add_ends = sesame.TOKENIZER_REPO
    sesame.TOKENIZER_REPO = str(folder)
    try:
        model = sesame.Model(config | {
            "audio_vocab_size": config["vocab_size"], "audio_num_codebooks": n_codebooks})
    finally:
        sesame.Mimi.from_pretrained, sesame.TOKENIZER_REPO = download, add_ends
    model.model.load_weights(list(weights.items()))
    mx.eval(model.parameters())
    return model


@dataclass
class SesameSegment:
    speaker: int
    text: str
    audio: torch.Tensor


def sesame_generator():
    """generator.py and models.py of Sesame's repository, their calls in their order; the codec
    gives silence and takes any sound as three frames of ones."""
    models = types.ModuleType("sesame_models")
    models.sample_topk = sesame_model.sample_topk
    sys.modules[models.__name__] = models
    config, tensors = layouts.read(CSM_A)
    weights = {name: value.float() for name, value in layouts.names(tensors, config, layouts.SESAME)}
    depth = config["depth_decoder_config"]
    heads = config["num_attention_heads"], depth["num_attention_heads"]
    kv_heads = config["num_key_value_heads"], depth["num_key_value_heads"]

    class Model(sesame_model.Model):
        def generate_frame(self, tokens, mask, positions, temperature, topk):
            # frame() calls the module's function by name; Sesame's own models.sample_topk
            plain, sesame_model.sample_topk = sesame_model.sample_topk, models.sample_topk
            try:
                return self.frame(tokens, mask, positions, temperature, topk)[0]
            finally:
                sesame_model.sample_topk = plain

    Model.__module__ = models.__name__

    class Generator:
        def __init__(self):
            self._model = Model(weights, heads, kv_heads)
            self._tokenizer = tokenizer()
            self.sample_rate = 24000

        def _text(self, text, speaker):
            ids = self._tokenizer.encode(f"<|begin_of_text|>[{speaker}]{text}<|end_of_text|>",
                                         add_special_tokens=False)
            frame = torch.zeros(len(ids), self._model.n_codebooks + 1).long()
            frame[:, -1] = torch.tensor(ids)
            return frame, torch.arange(frame.size(1)).expand(len(ids), -1) == frame.size(1) - 1

        def _audio(self, audio):
            assert audio.ndim == 1 and audio.dtype == torch.float32
            frame = torch.ones(4, self._model.n_codebooks + 1).long()
            frame[-1], frame[:, -1] = 0, 0
            return frame, torch.arange(frame.size(1)).expand(4, -1) < frame.size(1) - 1

        @torch.inference_mode()
        def generate(self, text, speaker, context, max_audio_length_ms=90_000, temperature=0.9,
                     topk=50):
            parts = [part for turn in context
                     for part in (self._text(turn.text, turn.speaker), self._audio(turn.audio))]
            parts.append(self._text(text, speaker))
            tokens, mask = (torch.cat(side).unsqueeze(0) for side in zip(*parts))
            at = torch.arange(tokens.size(1)).unsqueeze(0)
            self._model.backbone.reset()
            samples = []
            for _ in range(int(max_audio_length_ms / 80)):
                sample = self._model.generate_frame(tokens, mask, at, temperature, topk)
                if torch.all(sample == 0):
                    break
                samples.append(sample)
                tokens = torch.cat([sample, torch.zeros(1, 1).long()], dim=1).unsqueeze(1)
                mask = torch.cat([torch.ones_like(sample).bool(), torch.zeros(1, 1).bool()],
                                 dim=1).unsqueeze(1)
                at = at[:, -1:] + 1
            return torch.zeros(1920 * len(samples))

    return Generator()
