# SPDX-License-Identifier: Apache-2.0
"""A port of CSM with faults on request, over the real transformers modules.

run(model, ids, seeds, n_frames, fault) draws n_frames for all seeds at once, each with
its own torch generator, and gives what a token file holds, one dictionary a seed. The
faults are those that ports are known for.
"""

import contextlib
import copy

import torch
from transformers.cache_utils import DynamicCache
from transformers.models.csm import modeling_csm

FAULTS = ["temperature", "top_k", "dtype", "stream_offset", "rotation", "layer", "codebook",
          "seed", "quantization"]


def interleaved(q, k, cos, sin, unsqueeze_dim=1):
    """The rotation of pairs (2i, 2i+1), which wants Sesame's order of rows."""

    def rotate(x):
        half = cos.shape[-1] // 2
        c, s = (t[..., :half].unsqueeze(unsqueeze_dim) for t in (cos, sin))
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * c - odd * s, odd * c + even * s), -1).flatten(-2)

    return rotate(q), rotate(k)


def quantized(weight, bits=4, group=64):
    """Affine, as MLX does: w = scale * q + bias in groups of a row, then bf16."""
    if weight.shape[-1] % group:
        group = weight.shape[-1]
    w = weight.reshape(*weight.shape[:-1], -1, group)
    low, high = w.amin(-1, keepdim=True), w.amax(-1, keepdim=True)
    scale = ((high - low) / (2**bits - 1)).clamp(min=1e-8)
    q = ((w - low) / scale).round()
    return (q * scale + low).reshape(weight.shape).bfloat16().to(weight.dtype)


def with_fault(model, fault):
    """The model itself, or a copy with other weights."""
    if fault not in ("layer", "quantization"):
        return model
    model = copy.deepcopy(model)
    with torch.no_grad():
        if fault == "layer":
            weight = model.backbone_model.layers[1].mlp.down_proj.weight
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
            weight += 0.2 * weight.std() * noise
        else:
            for name, weight in model.named_parameters():
                if weight.dim() >= 2 and not name.startswith("codec_model"):
                    weight.copy_(quantized(weight))
    return model


def draw(logits, fault, top_k, temperature, generators):
    """One code a row, its margin and its probability; the arithmetic of the samplers."""
    if fault == "temperature":
        temperature = 1.0
    if fault == "top_k":
        top_k = 40
    x = logits.bfloat16() if fault == "dtype" else logits
    x = x / temperature
    x = x.masked_fill(x < x.topk(top_k).values[:, -1:], float("-inf"))
    p = x.log_softmax(-1).softmax(-1) if fault == "dtype" else x.softmax(-1)
    q = torch.stack([torch.empty_like(row).exponential_(1, generator=g)
                     for row, g in zip(p, generators)])
    codes = (p / q).argmax(-1)
    race = p.float().log() - q.float().log()
    best = race.topk(2).values
    return codes, best[:, 0] - best[:, 1], p.float().gather(1, codes[:, None])[:, 0]


class Watch:
    """Forward hooks that gather hidden states under csm's names."""

    def __init__(self, model, n_frames):
        self.rows, self.n_frames, self.frame, self.hooks = {}, n_frames, 0, []
        backbone, depth = model.backbone_model, model.depth_decoder.model
        self.hooks.append(backbone.layers[0].register_forward_pre_hook(
            lambda m, args, kwargs: self.keep("inputs_embeds", args[0] if args else
                                              kwargs["hidden_states"]), with_kwargs=True))
        for i, layer in enumerate(backbone.layers):
            self.watch(layer, f"backbone.layer{i}")
        self.watch(backbone.norm, "backbone.final")
        self.watch(depth.inputs_embeds_projector, "depth.proj")
        for i, layer in enumerate(depth.layers):
            self.watch(layer, f"depth.layer{i}")
        self.watch(depth.norm, "depth.final")

    def watch(self, module, name):
        self.hooks.append(module.register_forward_hook(
            lambda m, args, out: self.keep(name, out[0] if isinstance(out, tuple) else out)))

    def keep(self, name, value):
        if self.frame < self.n_frames:
            self.rows.setdefault(name, []).append(value.detach().float())

    def close(self):
        for hook in self.hooks:
            hook.remove()

    def tensors(self, i):
        return {f"hidden.{n}": torch.cat(v, 1)[i].contiguous() for n, v in self.rows.items()}


@torch.no_grad()
def run(model, ids, seeds, n_frames, fault="", top_k=50, temperature=0.9, hidden_frames=2):
    model = with_fault(model, fault)
    n_codebooks, vocab = model.config.num_codebooks, model.config.vocab_size
    backbone, depth = model.backbone_model, model.depth_decoder
    actual = [s + 1000 for s in seeds] if fault == "seed" else list(seeds)
    generators = [torch.Generator().manual_seed(s) for s in actual]
    if fault == "stream_offset":
        for g in generators:
            torch.empty(vocab).exponential_(1, generator=g)
    offset = vocab if fault == "codebook" else 0
    watch = Watch(model, hidden_frames)
    codes, margins, probs, rows = [], [], [], []

    def draw_one(logits):
        if fault == "noise": # no fault: what other kernels do
            seeded = torch.Generator().manual_seed(len(codes))
            logits = logits * (1 + 1e-3 * torch.randn(logits.shape, generator=seeded))
        c, m, p = draw(logits, fault, top_k, temperature, generators)
        for gathered, one in zip((codes, margins, probs, rows), (c, m, p, logits)):
            gathered.append(one)
        return c

    rotation = modeling_csm.apply_rotary_pos_emb
    with contextlib.ExitStack() as stack:
        stack.callback(watch.close)
        stack.callback(setattr, modeling_csm, "apply_rotary_pos_emb", rotation)
        if fault == "rotation":
            modeling_csm.apply_rotary_pos_emb = interleaved
        cache = DynamicCache(config=backbone.config)
        embeds = model.embed_text_tokens(ids).expand(len(seeds), -1, -1)
        for f in range(n_frames):
            watch.frame = f
            h = backbone(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
            last = h.last_hidden_state[:, -1]
            c = draw_one(model.lm_head(last))
            inner = DynamicCache(config=depth.model.config)
            table = depth.model.embed_tokens
            embeds = backbone.embed_tokens.embed_audio_tokens(c)
            step = last[:, None]
            for k in range(1, n_codebooks):
                index = ((k - 1) * vocab + offset) % table.num_embeddings
                if k == 1:
                    step = torch.cat((step, table(c + index)[:, None]), 1)
                else:
                    step = table(c + index)[:, None]
                y = depth.model(inputs_embeds=step, past_key_values=inner, use_cache=True)
                y = y.last_hidden_state[:, -1]
                c = draw_one(y @ depth.codebooks_head.weight[k - 1])
                embeds = embeds + backbone.embed_tokens.embed_audio_tokens(c + k * vocab)
            embeds = embeds[:, None]

    def stacked(gathered):
        whole = torch.stack(gathered, 1)
        return whole.reshape(len(seeds), n_frames, n_codebooks, *whole.shape[2:]).contiguous()

    codes, margins, probs, rows = map(stacked, (codes, margins, probs, rows))
    settings = {"seed": "", "temperature": "1.0" if fault == "temperature" else str(temperature),
                "topk": "40" if fault == "top_k" else str(top_k), "stream": "torch-cpu",
                "sampler": "sesame" if fault == "dtype" else "transformers",
                "dtype": "bf16" if fault == "dtype" else "f32",
                "precision": "q4" if fault == "quantization" else "f32",
                "n_prompt": str(ids.shape[1]), "vocab": str(vocab),
                "ended": "false"}
    return [dict(tensors={"codes": codes[i].int(), "margins": margins[i], "probs": probs[i],
                          "logits": rows[i].float(), **watch.tensors(i)},
                 metadata={**settings, "seed": str(actual[i])}) for i in range(len(seeds))]
