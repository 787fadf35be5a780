# SPDX-License-Identifier: Apache-2.0
"""generate of transformers' CSM, with the logits of every code; fresh models to
run it on."""

import copy
import json
import pathlib

import numpy as np
import soundfile
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

transformers.logging.set_verbosity_error()
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "csm-a"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def text_ids(model_dir, text, speaker):
    return Tokenizer.from_file(str(pathlib.Path(model_dir) / "tokenizer.json")).encode(
        f"[{speaker}]{text}").ids


class Reference:
    """The language model in `dtype`, the codec in float32 as csm has it."""

    def __init__(self, model_dir, dtype, device="cpu"):
        self.dir = model_dir
        self.model = transformers.CsmForConditionalGeneration.from_pretrained(
            model_dir, dtype=DTYPES[dtype]).eval().to(device)
        if dtype != "f32":
            self.model.codec_model = Reference(model_dir, "f32").model.codec_model

    def prompt(self, text, speaker, context):
        """context: (text, speaker, samples), ..."""
        config = self.model.config
        ids, waves = [], []
        for said, who, samples in context:
            ids += text_ids(self.dir, said, who)
            ids += [config.audio_token_id] * -(-len(samples) // 1920) + [config.audio_eos_token_id]
            waves.append(torch.from_numpy(samples))
        ids += text_ids(self.dir, text, speaker)
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
        inputs["attention_mask"] = inputs["attention_mask"].long()
        if waves:
            inputs["input_values"] = torch.cat(waves)[None, None]
            inputs["input_values_cutoffs"] = torch.tensor([[len(w) for w in waves]]).cumsum(-1)
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}

    def generate(self, text, n_frames, seed=0, temperature=0.9, top_k=50, speaker=0, context=()):
        """Codes [F, K] and raw logits [F, K, vocab], as the sampler gets them."""
        first, rest = [], []
        m = self.model
        hooks = [m.lm_head.register_forward_hook(
                     lambda _, i, o: first.append(o[0, -1].float())),
                 m.depth_decoder.codebooks_head.register_forward_hook(
                     lambda _, i, o: rest.append(o[0, -1].float()))]
        torch.manual_seed(seed)
        settings = dict(do_sample=True, temperature=temperature, top_k=top_k)
        codes = m.generate(**self.prompt(text, speaker, context), max_new_tokens=n_frames, **settings,
                           **{f"depth_decoder_{k}": v for k, v in settings.items()})[0]
        for hook in hooks:
            hook.remove()
        n, k = codes.shape
        logits = torch.cat([torch.stack(first)[:n, None], torch.stack(rest).view(n, k - 1, -1)], 1)
        return codes.cpu().numpy(), logits.cpu().numpy()


def silence_the_end(directory):
    """Code 0 becomes an unlikely one, so that speech goes on to the limit."""
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"][0] = 0
    tensors["depth_decoder.codebooks_head.weight"][:, :, 0] = 0
    save_file(tensors, path, {"format": "pt"})


def endless_golden(target):
    """csm-a, but for its end of speech."""
    target.mkdir()
    for name in "config.json", "generation_config.json", "tokenizer.json", "model.safetensors":
        (target / name).write_bytes((GOLDEN / name).read_bytes())
    silence_the_end(target)
    return target


def random_model(target, seed, n_codebooks, backbone, depth, vocab=1027, rope=True):
    """A model of random weights with csm-a's codec and texts.
    backbone, depth: (layers, width, heads, kv heads, head_dim, hidden)."""
    config = json.loads((GOLDEN / "config.json").read_text())
    inner = config["depth_decoder_config"]
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads",
             "head_dim", "intermediate_size")
    for part, sizes in (config, backbone), (inner, depth):
        part.update(zip(names, sizes), num_codebooks=n_codebooks, vocab_size=vocab)
        part["dtype"] = "float32"
        if not rope:
            part["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    inner["backbone_hidden_size"] = backbone[1]
    model = transformers.CsmForConditionalGeneration(
        transformers.CsmConfig(**copy.deepcopy(config))).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not name.startswith("codec_model."):
                p.copy_(torch.randn(p.shape, generator=generator) * 0.15 + (p.dim() == 1))
    codec = {k: v for k, v in load_file(GOLDEN / "model.safetensors").items()
             if k.startswith("codec_model.")}
    model.save_pretrained(target)
    tensors = load_file(target / "model.safetensors")
    save_file({**tensors, **codec}, target / "model.safetensors", {"format": "pt"})
    (target / "tokenizer.json").write_bytes((GOLDEN / "tokenizer.json").read_bytes())
    return target


def samples_of(path):
    return np.asarray(soundfile.read(path, dtype="float32")[0])
