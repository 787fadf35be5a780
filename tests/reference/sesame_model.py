# SPDX-License-Identifier: Apache-2.0
"""Sesame's models.py on torchtune 0.4.0, restated: the same torch operations on
the same shapes, for a dictionary of weights with Sesame's names. torchtune itself
is a large dependency and pins old companions; this was checked against it, bit
for bit, in float32 and bfloat16."""

import math

import torch
import torch.nn.functional as F

MAX_POSITIONS = 2048  # of both flavors


def rope_table(head_dim, dtype, theta=500_000, factor=32, low=1, high=4, original=8192):
    """Llama3ScaledRoPE's cache; Model.to(dtype) rounds it with the weights."""
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2)[: head_dim // 2].float() / head_dim)
    scaled = []
    for f in plain:
        wavelength = 2 * math.pi / f
        if wavelength < original / high:
            scaled.append(f)
        elif wavelength > original / low:
            scaled.append(f / factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * f / factor + smooth * f)
    angles = torch.einsum("i, j -> ij", torch.arange(MAX_POSITIONS, dtype=torch.float),
                          torch.tensor(scaled))
    return torch.stack([angles.cos(), angles.sin()], dim=-1).to(dtype)


def rotate(x, table, positions):
    """x [1, T, heads, head_dim], pairs side by side."""
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    t = table[positions].view(-1, x.size(1), 1, x.size(3) // 2, 2)
    a, b, cos, sin = pairs[..., 0], pairs[..., 1], t[..., 0], t[..., 1]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(3).type_as(x)


def rms_norm(x, scale, eps=1e-5):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).type_as(x) * scale


class Transformer:
    def __init__(self, weights, prefix, n_heads, n_kv_heads, capacity):
        self.w = {k[len(prefix):]: v for k, v in weights.items() if k.startswith(prefix)}
        self.n_layers = 1 + max(int(k.split(".")[1]) for k in self.w if k.startswith("layers."))
        self.n_heads, self.n_kv = n_heads, n_kv_heads
        query = self.w["layers.0.attn.q_proj.weight"]
        self.head_dim, self.dtype = query.shape[0] // n_heads, query.dtype
        self.table = rope_table(self.head_dim, self.dtype)
        self.mask = torch.tril(torch.ones(capacity, capacity, dtype=torch.bool))
        self.capacity = capacity
        self.reset()

    def reset(self):
        shape = 1, self.n_heads, self.capacity, self.head_dim
        self.caches = [[torch.zeros(shape, dtype=self.dtype) for _ in "kv"]
                       for _ in range(self.n_layers)]

    def attend(self, layer, h, positions):
        w = lambda name: self.w[f"layers.{layer}.attn.{name}.weight"]
        n = h.size(1)
        q = rotate(F.linear(h, w("q_proj")).view(1, n, -1, self.head_dim), self.table, positions)
        k = rotate(F.linear(h, w("k_proj")).view(1, n, -1, self.head_dim), self.table, positions)
        v = F.linear(h, w("v_proj"))
        for cache, new in zip(self.caches[layer], (k, v)):
            new = new.view(1, n, self.n_kv, 1, self.head_dim)
            new = new.expand(1, n, self.n_kv, self.n_heads // self.n_kv, self.head_dim)
            cache[:, :, positions[0]] = new.reshape(1, n, -1, self.head_dim).transpose(1, 2)
        k, v = self.caches[layer]
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k, v,
                                             attn_mask=self.mask[positions, :][:, None])
        return F.linear(out.transpose(1, 2).contiguous().view(1, n, -1), w("output_proj"))

    def __call__(self, x, positions):
        for layer in range(self.n_layers):
            w = lambda name: self.w[f"layers.{layer}.{name}"]
            h = self.attend(layer, rms_norm(x, w("sa_norm.scale")), positions) + x
            r = rms_norm(h, w("mlp_norm.scale"))
            gated = F.silu(F.linear(r, w("mlp.w1.weight"))) * F.linear(r, w("mlp.w3.weight"))
            x = h + F.linear(gated, w("mlp.w2.weight"))
        return rms_norm(x, self.w["norm.scale"])


def sample_topk(logits, topk, temperature):
    logits = logits / temperature
    logits = logits.masked_fill(logits < torch.topk(logits, topk)[0][..., -1, None], -float("inf"))
    probs = torch.softmax(torch.log_softmax(logits, dim=-1), dim=-1)
    q = torch.empty_like(probs).exponential_(1)
    return torch.argmax(probs / q, dim=-1, keepdim=True)


class Model:
    """weights: Sesame's names, all of one dtype. heads, kv_heads: (backbone, depth)."""

    def __init__(self, weights, heads, kv_heads):
        self.w = weights
        self.n_codebooks = weights["audio_head"].shape[0] + 1
        self.vocab = weights["audio_head"].shape[2]
        self.backbone = Transformer(weights, "backbone.", heads[0], kv_heads[0], MAX_POSITIONS)
        self.depth = Transformer(weights, "decoder.", heads[1], kv_heads[1], self.n_codebooks)

    def embed_audio(self, codebook, codes):
        return F.embedding(codes + codebook * self.vocab, self.w["audio_embeddings.weight"])

    def embed(self, tokens, mask):
        text = F.embedding(tokens[:, :, -1], self.w["text_embeddings.weight"]).unsqueeze(-2)
        audio = tokens[:, :, :-1] + self.vocab * torch.arange(self.n_codebooks)
        audio = F.embedding(audio.view(-1), self.w["audio_embeddings.weight"])
        audio = audio.reshape(*tokens.shape[:2], self.n_codebooks, -1)
        return (torch.cat([audio, text], dim=-2) * mask.unsqueeze(-1)).sum(dim=2)

    def frame(self, tokens, mask, positions, temperature, topk):
        """Codes [1, K] and logits [K, vocab] of the frame after tokens [1, T, K + 1]."""
        h = self.backbone(self.embed(tokens, mask), positions)[:, -1, :]
        logits = [F.linear(h, self.w["codebook0_head.weight"])]
        codes = [sample_topk(logits[0], topk, temperature)]
        x = torch.cat([h.unsqueeze(1), self.embed_audio(0, codes[0])], dim=1)
        at = torch.arange(2).unsqueeze(0)
        self.depth.reset()
        for k in range(1, self.n_codebooks):
            out = self.depth(F.linear(x, self.w["projection.weight"]), at)
            logits.append(torch.mm(out[:, -1, :], self.w["audio_head"][k - 1]))
            codes.append(sample_topk(logits[k], topk, temperature))
            x, at = self.embed_audio(k, codes[k]), at[:, -1:] + 1
        return torch.cat(codes, dim=1), torch.cat(logits)

    @torch.inference_mode()
    def generate(self, tokens, mask, n_frames, seed, temperature, topk):
        """tokens, mask [T, K + 1], Sesame's view of a prompt. Codes [F, K] without
        the frame of zeros that ends speech, and their logits [F, K, vocab]."""
        torch.manual_seed(seed)
        self.backbone.reset()
        tokens, mask = tokens.unsqueeze(0), mask.unsqueeze(0)
        at = torch.arange(tokens.size(1)).unsqueeze(0)
        codes, logits = [], []
        for _ in range(n_frames):
            c, l = self.frame(tokens, mask, at, temperature, topk)
            if torch.all(c == 0):
                break
            codes.append(c[0])
            logits.append(l.float())
            tokens = torch.cat([c, torch.zeros(1, 1, dtype=c.dtype)], dim=1).unsqueeze(1)
            mask = torch.cat([torch.ones_like(c).bool(), torch.zeros(1, 1).bool()], dim=1).unsqueeze(1)
            at = at[:, -1:] + 1
        return torch.stack(codes), torch.stack(logits)
