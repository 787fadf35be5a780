# SPDX-License-Identifier: Apache-2.0
"""What csm-mlx (senstella/csm-mlx bd21751) calls of MLX and mlx-lm, restated: it is not
on the package index. Blocks, caches and samplers are mlx-lm's own; the attention, the
embedding and the frame are csm-mlx's calls in their order."""

import math

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.base import scaled_dot_product_attention
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.models.llama import LlamaModel, ModelArgs
from mlx_lm.sample_utils import make_sampler


def rope_tables(head_dim, theta, scaling, n):
    freqs = 1.0 / theta ** (mx.arange(0, head_dim, 2)[: head_dim // 2].astype(mx.float32) / head_dim)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    old, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    scaled = []
    for f in freqs:
        wavelength = 2 * math.pi / f
        if wavelength < old / high:
            scaled.append(f)
        elif wavelength > old / low:
            scaled.append(f / factor)
        else:
            smooth = (old / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * f / factor + smooth * f)
    angles = mx.arange(n, dtype=mx.float32)[:, None] * mx.array(scaled)[None]
    return mx.cos(angles), mx.sin(angles)


class Attention(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.args = args
        q, kv = (n * args.head_dim for n in (args.num_attention_heads, args.num_key_value_heads))
        self.q_proj = nn.Linear(args.hidden_size, q, bias=False)
        self.k_proj = nn.Linear(args.hidden_size, kv, bias=False)
        self.v_proj = nn.Linear(args.hidden_size, kv, bias=False)
        self.o_proj = nn.Linear(q, args.hidden_size, bias=False)
        self._tables = rope_tables(args.head_dim, args.rope_theta, args.rope_scaling, 2048)

    def rotated(self, x, offset):
        """In float32, pairs (2i, 2i+1), rounded once."""
        cos, sin = (t[None, offset : offset + x.shape[1], None] for t in self._tables)
        pairs = x.astype(mx.float32).reshape(*x.shape[:-1], -1, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        return mx.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(3).astype(x.dtype)

    def __call__(self, x, mask=None, cache=None):
        batch, n, _ = x.shape
        q, k, v = (p(x).reshape(batch, n, -1, self.args.head_dim)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.rotated(q, cache.offset), self.rotated(k, cache.offset)
        q, k, v = (t.swapaxes(1, 2) for t in (q, k, v))
        k, v = cache.update_and_fetch(k, v)
        groups = self.args.num_attention_heads // self.args.num_key_value_heads
        if groups > 1:
            k, v = mx.repeat(k, groups, axis=1), mx.repeat(v, groups, axis=1)
        out = scaled_dot_product_attention(q, k, v, cache=cache, scale=self.args.head_dim**-0.5,
                                           mask=mask)
        return self.o_proj(out.swapaxes(1, 2).reshape(batch, n, -1))


def llama(part):
    args = ModelArgs(model_type="llama", vocab_size=1, num_hidden_layers=part["num_hidden_layers"],
                     num_attention_heads=part["num_attention_heads"],
                     num_key_value_heads=part["num_key_value_heads"], head_dim=part["head_dim"],
                     intermediate_size=part["intermediate_size"], hidden_size=part["hidden_size"],
                     rms_norm_eps=part["rms_norm_eps"], rope_theta=part["rope_theta"],
                     rope_scaling=part["rope_scaling"])
    # mlx-lm's own attention, and with it its rope, is replaced before it is used
    model = LlamaModel(ModelArgs(**{**vars(args), "rope_scaling": None}))
    model.embed_tokens = nn.Identity()
    for layer in model.layers:
        layer.self_attn = Attention(args)
    return model


class CSM(nn.Module):
    def __init__(self, config):
        super().__init__()
        depth = config["depth_decoder_config"]
        self.vocab, self.n_codebooks = config["vocab_size"], config["num_codebooks"]
        self.backbone, self.decoder = llama(config), llama(depth)
        self.text_embeddings = nn.Embedding(config["text_vocab_size"], config["hidden_size"])
        self.audio_embeddings = nn.Embedding(self.vocab * self.n_codebooks, config["hidden_size"])
        self.projection = nn.Linear(config["hidden_size"], depth["hidden_size"], bias=False)
        self.codebook0_head = nn.Linear(config["hidden_size"], self.vocab, bias=False)
        self.audio_head = mx.zeros((self.n_codebooks - 1, depth["hidden_size"], self.vocab))

    def embedded(self, tokens, mask):
        """tokens, mask [1, n, codebooks + 1], the text id in the last column."""
        text = self.text_embeddings(tokens[:, :, -1])[:, :, None]
        ids = tokens[:, :, :-1] + self.vocab * mx.arange(self.n_codebooks)
        audio = self.audio_embeddings(ids.flatten()).reshape(*tokens.shape[:2], self.n_codebooks, -1)
        return (mx.concat([audio, text], axis=-2) * mask[..., None]).sum(-2)

    def frame(self, tokens, mask, cache, sampler):
        """Codes [1, codebooks] and logits [codebooks, vocab] of the next frame."""
        def draw(logits):
            all_logits.append(logits)
            return sampler(logits - mx.logsumexp(logits, keepdims=True))[:, None]

        all_logits = []
        last = self.backbone(self.embedded(tokens, mask), cache=cache)[:, -1, :]
        codes = [draw(self.codebook0_head(last))]
        inputs = mx.concat([last[:, None], self.audio_embeddings(codes[0])], axis=1)
        depth_cache = make_prompt_cache(self.decoder)
        for k in range(1, self.n_codebooks):
            hidden = self.decoder(self.projection(inputs), cache=depth_cache)
            codes.append(draw(mx.matmul(hidden[:, -1, :], self.audio_head[k - 1])))
            inputs = self.audio_embeddings(codes[-1] + k * self.vocab)
        return mx.concat(codes, axis=1), mx.concat(all_logits, axis=0)


def load(tensors, config, quantization=None):
    model = CSM(config)
    if quantization:
        nn.quantize(model, quantization["group_size"], quantization["bits"])
    model.load_weights(list(tensors.items()))
    model.eval()
    return model


def generate(model, text_ids, n_frames, seed, temperature=0.9, top_k=50):
    """Tokens [frames, codebooks], without the frame of zeros, and their logits as
    float32, of a prompt of text alone."""
    sampler = make_sampler(temp=temperature, top_k=top_k)
    if seed is not None:
        mx.random.seed(seed)
    n = model.n_codebooks
    tokens = mx.concat([mx.zeros((len(text_ids), n), mx.int32),
                        mx.array(text_ids, mx.int32)[:, None]], axis=1)[None]
    mask = mx.concat([mx.zeros((1, len(text_ids), n)), mx.ones((1, len(text_ids), 1))],
                     axis=2).astype(mx.bool_)
    cache = make_prompt_cache(model.backbone)
    frames, logits = [], []
    for _ in range(n_frames):
        codes, rows = model.frame(tokens, mask, cache, sampler)
        if not codes.any():
            break
        frames.append(codes[0])
        logits.append(rows.astype(mx.float32))
        tokens = mx.concat([codes, mx.zeros((1, 1), codes.dtype)], axis=1)[:, None].astype(mx.int32)
        mask = mx.concat([mx.ones_like(codes), mx.zeros((1, 1))], axis=1)[:, None].astype(mx.bool_)
    return mx.stack(frames).astype(mx.int32), mx.stack(logits)
