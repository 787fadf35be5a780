# SPDX-License-Identifier: Apache-2.0
"""CSM for training: any size, csm-1b's too.

The modules bear the names of the checkpoints of transformers' CsmForConditionalGeneration, so the
weights go in and out as they are. csm_loss() is the loss of Sesame's post: the backbone predicts
codebook 0 of every frame, the depth decoder the other codebooks of a random part of the frames
(compute amortisation).
"""
import dataclasses
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

CODE_TABLE = 'backbone_model.embed_tokens.embed_audio_tokens.weight'
CODE_TABLE_OF_DEPTH = 'depth_decoder.model.embed_tokens.weight'         # the same one, where they are tied
LARGEST_ONE_HOT = 8192      # rows of an embedding table that is still multiplied with


@dataclasses.dataclass
class StackConfig:
    """One Llama: sizes, and the rotation's scaling (llama3's rule)."""
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope_theta: float = 500000.0
    rope_factor: float = 32.0
    rope_low: float = 0.125
    rope_high: float = 0.5
    rope_original: int = 1024
    rms_norm_eps: float = 1e-5

    @classmethod
    def from_json(cls, c):
        rope = c.get('rope_parameters') or {**c['rope_scaling'], 'rope_theta': c['rope_theta']}
        return cls(**{f.name: c[f.name] for f in dataclasses.fields(cls) if f.name in c and 'rope' not in f.name},
                   rope_theta=rope['rope_theta'], rope_factor=rope['factor'],
                   rope_low=rope['low_freq_factor'], rope_high=rope['high_freq_factor'],
                   rope_original=rope['original_max_position_embeddings'])

    def to_json(self):
        sizes = {k: v for k, v in dataclasses.asdict(self).items() if 'rope' not in k}
        return {**sizes, 'rope_parameters': {
            'rope_type': 'llama3', 'rope_theta': self.rope_theta, 'factor': self.rope_factor,
            'low_freq_factor': self.rope_low, 'high_freq_factor': self.rope_high,
            'original_max_position_embeddings': self.rope_original}}


@dataclasses.dataclass
class CsmConfig:
    """The defaults are the embedded voice's; csm-1b's come from its config.json."""
    backbone: StackConfig = dataclasses.field(default_factory=lambda: StackConfig(384, 832, 6, 6, 2, 64))
    depth: StackConfig = dataclasses.field(default_factory=lambda: StackConfig(
        256, 512, 2, 4, 2, 64, rope_low=0.001953125, rope_high=0.0078125, rope_original=16))
    num_codebooks: int = 8
    vocab_size: int = 515               # codes of a codebook; the codec's entries and three special ones
    text_vocab_size: int = 264
    tied: bool = True                   # the depth decoder embeds codes with the backbone's table

    @classmethod
    def from_json(cls, c):
        return cls(StackConfig.from_json(c), StackConfig.from_json(c['depth_decoder_config']), c['num_codebooks'],
                   c['vocab_size'], c['text_vocab_size'], c.get('tie_codebooks_embeddings', True))


# Modules: the names and shapes of the checkpoint

class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight.to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, c.hidden_size, bias=False)

    def forward(self, x, cos, sin, mask):
        batch, time, _ = x.shape

        def heads_of(projected, n):
            return projected.view(batch, time, n, self.dim).transpose(1, 2)

        def rotate(t):
            a, b = t.chunk(2, -1)
            return (t * cos + torch.cat([-b, a], -1) * sin).to(t.dtype)

        groups = self.heads // self.kv_heads
        q = rotate(heads_of(self.q_proj(x), self.heads))
        k = rotate(heads_of(self.k_proj(x), self.kv_heads)).repeat_interleave(groups, 1)
        v = heads_of(self.v_proj(x), self.kv_heads).repeat_interleave(groups, 1)
        if mask is None:        # a few positions: written out
            scores = q @ k.transpose(-1, -2) / math.sqrt(self.dim)
            later = torch.ones(time, time, dtype=torch.bool, device=x.device).triu(1)
            y = scores.float().masked_fill(later, -math.inf).softmax(-1).to(v.dtype) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        return self.o_proj(y.transpose(1, 2).reshape(batch, time, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dropout = 0.0
        self.input_layernorm = RmsNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RmsNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin, mask):
        def drop(y):
            return F.dropout(y, self.dropout, self.training)

        x = x + drop(self.self_attn(self.input_layernorm(x), cos, sin, mask))
        return x + drop(self.mlp(self.post_attention_layernorm(x)))


class LlamaStack(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RmsNorm(c.hidden_size, c.rms_norm_eps)

    def forward(self, x, mask):
        """x [batch, time, hidden]; mask [batch, 1, time, time] is added to the scores; None: causal"""
        angles = torch.outer(torch.arange(x.shape[1], device=x.device).float(), rotation_speeds(self.config, x.device))
        angles = angles.repeat(1, 2)
        cos, sin = angles.cos(), angles.sin()
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)


class Backbone(LlamaStack):
    def __init__(self, c, n_codes):
        super().__init__(c)
        self.embed_tokens = nn.ModuleDict({'embed_audio_tokens': nn.Embedding(n_codes, c.hidden_size)})


class DepthModel(LlamaStack):
    def __init__(self, c):
        super().__init__(c.depth)
        self.inputs_embeds_projector = nn.Linear(c.backbone.hidden_size, c.depth.hidden_size, bias=False)
        if not c.tied:
            self.embed_tokens = nn.Embedding(c.num_codebooks * c.vocab_size, c.backbone.hidden_size)


class CodebookHeads(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c.num_codebooks - 1, c.depth.hidden_size, c.vocab_size))


class DepthDecoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = DepthModel(c)
        self.codebooks_head = CodebookHeads(c)


class Csm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = c = config
        self.embed_text_tokens = nn.Embedding(c.text_vocab_size, c.backbone.hidden_size)
        self.backbone_model = Backbone(c.backbone, c.num_codebooks * c.vocab_size)
        self.depth_decoder = DepthDecoder(c)
        self.lm_head = nn.Linear(c.backbone.hidden_size, c.vocab_size, bias=False)

    @classmethod
    def from_directory(cls, directory):
        """A model of transformers' layout, without its codec."""
        directory = pathlib.Path(directory)
        model = cls(CsmConfig.from_json(json.loads((directory / 'config.json').read_text())))
        tensors = {k: v.float() for k, v in read_tensors(directory).items() if not k.startswith('codec_model.')}
        if model.config.tied and CODE_TABLE_OF_DEPTH in tensors:        # a file may hold either, or both
            tensors.setdefault(CODE_TABLE, tensors.pop(CODE_TABLE_OF_DEPTH))
            tensors.pop(CODE_TABLE_OF_DEPTH, None)
        model.load_state_dict(tensors)
        return model

    def set_dropout(self, share):
        """Drop this share of what each layer adds, while training."""
        for layer in [*self.backbone_model.layers, *self.depth_decoder.model.layers]:
            layer.dropout = share

    @torch.no_grad()
    def initialize(self):
        for name, p in self.named_parameters():
            if 'embed' in name and p.ndim == 2 and 'projector' not in name:
                p.normal_(0, 0.05 if 'text' in name else 0.02)
            elif p.ndim == 2:
                into_the_sum = name.endswith(('o_proj.weight', 'down_proj.weight'))
                p.normal_(0, (0.35 if into_the_sum else 0.8) / math.sqrt(p.shape[1]))
        self.lm_head.weight.mul_(0.1)
        self.depth_decoder.codebooks_head.weight.normal_(0, 0.01)

    def backbone(self, text, codes, mask):
        """text [batch, time], -1 at frames; codes [batch, time, codebooks], -1 at text -> hidden states"""
        table = self.backbone_model.embed_tokens['embed_audio_tokens'].weight
        tables = table.view(self.config.num_codebooks, self.config.vocab_size, -1)
        words = summed_embedding(self.embed_text_tokens.weight[None], text[..., None])
        return self.backbone_model(words + summed_embedding(tables, codes), mask)

    def depth(self, hidden, codes):
        """hidden [n, backbone's hidden], codes [n, codebooks - 1] -> logits [n, codebooks - 1, vocab] of
        codebooks 1 onwards, each knowing the codes before it"""
        model = self.depth_decoder.model
        table = (self.backbone_model.embed_tokens['embed_audio_tokens'] if self.config.tied else model.embed_tokens).weight
        known = codes.shape[-1]
        projected = model.inputs_embeds_projector(table[:known * self.config.vocab_size])
        embedded = separate_embedding(projected.view(known, self.config.vocab_size, -1), codes)
        x = torch.cat([model.inputs_embeds_projector(hidden)[:, None], embedded], 1)
        return torch.einsum('nkh,khv->nkv', model(x, None)[:, 1:], self.depth_decoder.codebooks_head.weight.to(x.dtype))


def rotation_speeds(c, device):
    """RoPE's angular speeds [head_dim / 2], the slow ones divided by llama3's factor"""
    speeds = c.rope_theta ** (-torch.arange(0, c.head_dim, 2, device=device).float() / c.head_dim)
    turns = c.rope_original * speeds / (2 * math.pi)
    smooth = ((turns - c.rope_low) / (c.rope_high - c.rope_low)).clamp(0, 1)
    return smooth * speeds + (1 - smooth) * speeds / c.rope_factor


def one_hot(codes, size, dtype):
    """codes [...] -> [..., size]; a code of -1 is nowhere"""
    return (codes[..., None] == torch.arange(size, device=codes.device)).to(dtype)


def compute_dtype(x):
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def summed_embedding(tables, codes):
    """tables [k, vocab, hidden], codes [..., k] -> the sum of the k embeddings [..., hidden]; of -1: nothing.

    A small table is multiplied with ones at the codes: the gradient is then a matrix product, which
    is much faster than adding up many gradients for few rows.
    """
    k, vocab, hidden = tables.shape
    if k * vocab > LARGEST_ONE_HOT:
        rows = codes.clamp(min=0) + torch.arange(k, device=codes.device) * vocab
        return (F.embedding(rows, tables.flatten(0, 1)) * (codes >= 0)[..., None]).sum(-2)
    dtype = compute_dtype(tables)
    return one_hot(codes, vocab, dtype).flatten(-2) @ tables.flatten(0, 1).to(dtype)


def separate_embedding(tables, codes):
    """tables [k, vocab, hidden], codes [n, k] -> [n, k, hidden], by products like summed_embedding()"""
    k, vocab, _ = tables.shape
    if k * vocab > LARGEST_ONE_HOT:
        return F.embedding(codes + torch.arange(k, device=codes.device) * vocab, tables.flatten(0, 1))
    dtype, width = compute_dtype(tables), -(-vocab // 8) * 8          # aligned products are faster
    tables = F.pad(tables, (0, 0, 0, width - vocab)).to(dtype)
    return torch.bmm(one_hot(codes.T, width, dtype), tables).transpose(0, 1)


def read_tensors(directory):
    """All tensors of a directory of .safetensors files"""
    tensors = {}
    for path in sorted(pathlib.Path(directory).glob('*.safetensors')):
        tensors.update(load_file(path))
    return tensors


def conversation_mask(conversation, dtype):
    """conversation [batch, time] -> what to add to the scores [batch, 1, time, time]: zero where a
    position may look, minus infinity where it may not (ahead, or into another conversation)"""
    time = conversation.shape[1]
    seen = torch.ones(time, time, dtype=torch.bool, device=conversation.device).tril()
    seen = seen & (conversation[:, :, None] == conversation[:, None])
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -math.inf)[:, None]


def corrupt(codes, share, n_codes):
    """Replace a share of the codes by random ones, so that one wrong draw is no surprise later."""
    wrong = torch.rand(codes.shape, device=codes.device) < share
    return torch.where(wrong & (codes > 0), torch.randint(1, n_codes, codes.shape, device=codes.device), codes)


def csm_loss(model, text, codes, conversation, learn, n_depth_frames, noise=0.0):
    """The loss of a batch of rows.

    text          [batch, time] token ids, -1 at audio frames
    codes         [batch, time, codebooks], -1 at text; a frame of zeros ends a segment
    conversation  [batch, time] which conversation of the row a position belongs to
    learn         [batch, time] whether to learn the frame at this position from what stands before
    n_depth_frames  random frames that train the depth decoder (all of them if there are fewer)
    noise         share of the known codes that are replaced by random ones
    returns (loss of codebook 0, losses [codebooks - 1] of the others, accuracy in codebook 0)
    """
    n_codes = model.config.vocab_size - 3
    mask = conversation_mask(conversation, torch.bfloat16 if codes.is_cuda else torch.float32)
    hidden = model.backbone(text, corrupt(codes, noise, n_codes), mask)[:, :-1].flatten(0, 1)
    target, weight = codes[:, 1:].flatten(0, 1).clamp(min=0), learn[:, 1:].flatten().float()

    logits = model.lm_head(hidden).float()
    loss = (F.cross_entropy(logits, target[:, 0], reduction='none') * weight).sum() / weight.sum()
    right = ((logits.argmax(-1) == target[:, 0]) * weight).sum() / weight.sum()

    chosen = (torch.rand_like(weight) * weight).topk(min(n_depth_frames, len(weight))).indices
    hidden, target, weight = hidden[chosen], target[chosen], weight[chosen]
    logits = model.depth(hidden, corrupt(target[:, :-1], 0.5 * noise, n_codes)).float()
    losses = F.cross_entropy(logits.transpose(1, 2), target[:, 1:], reduction='none')
    return loss, (losses * weight[:, None]).sum(0) / weight.sum(), right
