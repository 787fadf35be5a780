# SPDX-License-Identifier: Apache-2.0
"""A small Mimi that can be trained.

The modules bear the names of Mimi's checkpoints, so the weights load in transformers' MimiModel
as they are. The forward pass is written for training: channels last, every convolution one matrix
product (four times the speed), with the quantizer's learning rules.
"""
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

RATE = 24000
FRAME = 1920                # samples a frame: 12.5 frames a second
PHONES_PER_FRAME = 4        # one label every 20 ms
FAR = 50.0                  # where a codebook entry lies that shall never be chosen


@dataclasses.dataclass
class CodecConfig:
    """Mimi's sizes. The defaults are those of the embedded voice; Mimi's own are in the comments."""
    num_filters: int = 16                   # 64
    hidden_size: int = 192                  # 512
    intermediate_size: int = 384            # 2048
    num_hidden_layers: int = 2              # 8, before and after the quantizer
    head_dim: int = 32                      # 64
    codebook_size: int = 512                # 2048
    codebook_dim: int = 64                  # 256
    num_quantizers: int = 8                 # 32
    sliding_window: int = 32                # 250
    upsampling_ratios: tuple = (8, 6, 5, 4)
    rope_theta: float = 10000.0

    @property
    def num_attention_heads(self):
        return self.hidden_size // self.head_dim


# Modules: the names and shapes of the checkpoint

class Conv(nn.Module):
    def __init__(self, n_in, n_out, kernel, stride=1, bias=True, pad_mode='constant'):
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, bias=bias)
        self.pad_mode = pad_mode


class ConvTransposed(nn.Module):
    def __init__(self, n_in, n_out, stride, groups=1, bias=True):
        super().__init__()
        self.conv = nn.ConvTranspose1d(n_in, n_out, 2 * stride, stride, groups=groups, bias=bias)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block = nn.ModuleList([nn.ELU(), Conv(channels, channels // 2, 3),
                                    nn.ELU(), Conv(channels // 2, channels, 1)])


class LayerScale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 0.2))


def bare_linear(n_in, n_out):
    return nn.Linear(n_in, n_out, bias=False)


class TransformerLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = c.hidden_size
        self.input_layernorm, self.post_attention_layernorm = nn.LayerNorm(n), nn.LayerNorm(n)
        self.self_attn = nn.ModuleDict({f'{x}_proj': bare_linear(n, n) for x in 'qkvo'})
        self.mlp = nn.ModuleDict({'fc1': bare_linear(n, c.intermediate_size),
                                  'fc2': bare_linear(c.intermediate_size, n)})
        self.self_attn_layer_scale, self.mlp_layer_scale = LayerScale(n), LayerScale(n)


class Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Codebook(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.register_buffer('initialized', torch.ones(1))
        self.register_buffer('cluster_usage', torch.ones(size))
        self.register_buffer('embed_sum', torch.zeros(size, dim))


class QuantizerLayer(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.codebook = Codebook(size, dim)


class Quantizer(Stack):
    """Residual: each layer codes what the ones before left over"""

    def __init__(self, c, n_layers):
        super().__init__(QuantizerLayer(c.codebook_size, c.codebook_dim) for _ in range(n_layers))
        self.input_proj = nn.Conv1d(c.hidden_size, c.codebook_dim, 1, bias=False)
        self.output_proj = nn.Conv1d(c.codebook_dim, c.hidden_size, 1, bias=False)


def encoder_layers(c):
    channels = c.num_filters
    layers = [Conv(1, channels, 7)]
    for ratio in reversed(c.upsampling_ratios):
        layers += [Residual(channels), nn.ELU(), Conv(channels, 2 * channels, 2 * ratio, ratio)]
        channels *= 2
    return layers + [nn.ELU(), Conv(channels, c.hidden_size, 3)]


def decoder_layers(c):
    channels = c.num_filters * 2 ** len(c.upsampling_ratios)
    layers = [Conv(c.hidden_size, channels, 7)]
    for ratio in c.upsampling_ratios:
        layers += [nn.ELU(), ConvTransposed(channels, channels // 2, ratio), Residual(channels // 2)]
        channels //= 2
    return layers + [nn.ELU(), Conv(channels, 1, 3)]


# Operations

def causal_conv(conv, x, pad_mode='constant'):
    """nn.Conv1d over x [batch, time, channels], padded on the left alone; time in whole strides"""
    kernel, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    batch, time, channels = x.shape
    weight = conv.weight.permute(0, 2, 1).reshape(conv.out_channels, kernel * channels)
    pad = (kernel - 1) * dilation + 1 - stride
    if pad > 0:
        before = x[:, :1].expand(-1, pad, -1) if pad_mode == 'replicate' else x.new_zeros(batch, pad, channels)
        x = torch.cat([before, x], 1)
    if stride == 1:
        windows = torch.cat([x[:, i * dilation:i * dilation + time] for i in range(kernel)], -1)
    else:
        assert kernel == 2 * stride and time % stride == 0
        strides = x.reshape(batch, time // stride + 1, stride * channels)
        windows = torch.cat([strides[:, :-1], strides[:, 1:]], -1)
    return F.linear(windows, weight, conv.bias)


def causal_conv_transposed(conv, x):
    """nn.ConvTranspose1d with a kernel of two strides, cut on the right; x [batch, time, channels]"""
    stride = conv.stride[0]
    batch, time, channels = x.shape
    assert conv.kernel_size[0] == 2 * stride
    if conv.groups == 1:
        weight = conv.weight.permute(2, 1, 0).reshape(-1, channels)
        steps = F.linear(x, weight).view(batch, time, 2 * stride, -1)
    else:                                   # depthwise
        steps = x[:, :, None] * conv.weight[:, 0].T.to(x.dtype)
    first, second = steps[:, :, :stride], steps[:, :-1, stride:]
    y = (first + F.pad(second, (0, 0, 0, 0, 1, 0))).reshape(batch, time * stride, -1)
    return y if conv.bias is None else y + conv.bias.to(y.dtype)


class Codec(nn.Module):
    """sound [batch, n] <-> latents [batch, frames, hidden] <-> codes [batch, frames, codebooks]"""

    def __init__(self, config):
        super().__init__()
        self.config, n = config, config.hidden_size
        self.encoder = Stack(encoder_layers(config))
        self.encoder_transformer = Stack(TransformerLayer(config) for _ in range(config.num_hidden_layers))
        self.downsample = Conv(n, n, 4, 2, bias=False, pad_mode='replicate')
        self.quantizer = nn.ModuleDict({
            'semantic_residual_vector_quantizer': Quantizer(config, 1),
            'acoustic_residual_vector_quantizer': Quantizer(config, config.num_quantizers - 1)})
        self.upsample = ConvTransposed(n, n, 2, groups=n, bias=False)
        self.decoder_transformer = Stack(TransformerLayer(config) for _ in range(config.num_hidden_layers))
        self.decoder = Stack(decoder_layers(config))
        self._fitting = False       # while initializing: scale each layer by what it puts out
        self._rotations = {}

    # The layers

    def _layer(self, function, module, x, fit_to, *args):
        if self._fitting:
            if module.bias is not None:
                module.bias.zero_()
            for _ in range(2):
                module.weight.mul_(fit_to / function(module, x, *args).std().clamp(min=1e-6))
        return function(module, x, *args)

    def _convolutions(self, layers, x, last_fit_to=1.0):
        for i, layer in enumerate(layers):
            fit_to = last_fit_to if i == len(layers) - 1 else 1.0
            if isinstance(layer, Conv):
                x = self._layer(causal_conv, layer.conv, x, fit_to, layer.pad_mode)
            elif isinstance(layer, ConvTransposed):
                x = self._layer(causal_conv_transposed, layer.conv, x, fit_to)
            elif isinstance(layer, Residual):
                wide, narrow = layer.block[1].conv, layer.block[3].conv
                h = self._layer(causal_conv, wide, F.elu(x), 1.0)
                x = x + self._layer(causal_conv, narrow, F.elu(h), 0.4)
            else:
                x = F.elu(x)
        return x

    def _rotation(self, time, device):
        """RoPE's cosines and sines [time, head_dim] and the sliding causal mask [time, time]"""
        if (time, device) not in self._rotations:
            base, dim = self.config.rope_theta, self.config.head_dim
            speeds = base ** (-torch.arange(0, dim, 2, device=device).float() / dim)
            t = torch.arange(time, device=device)
            angles = torch.outer(t.float(), speeds).repeat(1, 2)
            back = t[:, None] - t
            mask = (back >= 0) & (back < self.config.sliding_window)
            self._rotations[time, device] = angles.cos(), angles.sin(), mask
        return self._rotations[time, device]

    def _transformer(self, transformer, x):
        batch, time, _ = x.shape
        heads, dim = self.config.num_attention_heads, self.config.head_dim
        cos, sin, mask = self._rotation(time, x.device)

        def rotate(t):
            a, b = t.chunk(2, -1)
            return (t * cos + torch.cat([-b, a], -1) * sin).to(t.dtype)

        for layer in transformer.layers:
            attention, h = layer.self_attn, layer.input_layernorm(x)
            q, k, v = (attention[p](h).view(batch, time, heads, dim).transpose(1, 2)
                       for p in ('q_proj', 'k_proj', 'v_proj'))
            h = F.scaled_dot_product_attention(rotate(q), rotate(k), v, attn_mask=mask)
            h = attention['o_proj'](h.transpose(1, 2).reshape(batch, time, -1))
            x = x + layer.self_attn_layer_scale.scale * h
            h = F.gelu(layer.mlp['fc1'](layer.post_attention_layernorm(x)))
            x = x + layer.mlp_layer_scale.scale * layer.mlp['fc2'](h)
        return x

    # The three stages

    def encode_latents(self, sound):
        x = self._convolutions(self.encoder.layers, sound[:, :, None])
        x = self._transformer(self.encoder_transformer, x)
        return self._layer(causal_conv, self.downsample.conv, x, 1.0, self.downsample.pad_mode)

    def decode_latents(self, latents):
        x = self._layer(causal_conv_transposed, self.upsample.conv, latents, 1.0)
        x = self._transformer(self.decoder_transformer, x)
        return self._convolutions(self.decoder.layers, x, last_fit_to=0.1)[:, :, 0]

    @property
    def quantizers(self):
        return list(self.quantizer.values())

    @property
    def codebooks(self):
        return [layer.codebook for part in self.quantizers for layer in part.layers]

    def quantize(self, latents, learn=False, dropout=0.2, decay=0.99):
        """latents -> (codes, quantized latents, commitment loss, latents of the semantic codebook alone).

        learn: pass gradients straight through, move the codebooks to the mean of what chose them,
        restart the entries that nothing chooses, and in a share `dropout` of the clips use only the
        first few acoustic codebooks.
        """
        batch, time, _ = latents.shape
        codes, outputs, commitment = [], [], 0.0
        for part in self.quantizers:
            x = self._layer(causal_conv, part.input_proj, latents, 1.0)
            with torch.autocast(latents.device.type, enabled=False):
                x = x.float().reshape(batch * time, -1)
                rest, total, n_layers = x, torch.zeros_like(x), len(part.layers)
                n_used = torch.full((batch,), n_layers, device=x.device)
                if learn and n_layers > 1:
                    fewer = torch.randint(1, n_layers + 1, (batch,), device=x.device)
                    n_used = torch.where(torch.rand(batch, device=x.device) < dropout, fewer, n_used)
                for i, layer in enumerate(part.layers):
                    entries = embeddings(layer.codebook)
                    chosen = nearest(rest.detach(), entries)
                    codes.append(chosen.view(batch, time))
                    picked = F.embedding(chosen, entries)
                    if learn:
                        used = (n_used > i).float().repeat_interleave(time)
                        commitment = commitment + ((rest - picked).square().mean(1) * used).mean()
                        move_codebook(layer.codebook, chosen, rest.detach(), used, decay)
                        picked = picked * used[:, None]
                    rest, total = rest - picked, total + picked
                if learn:
                    total = x + (total - x).detach()
            total = total.view(batch, time, -1).to(latents.dtype)
            outputs.append(self._layer(causal_conv, part.output_proj, total, 0.7))
        return torch.stack(codes, -1), outputs[0] + outputs[1], commitment, outputs[0]

    @torch.no_grad()
    def encode(self, sound):
        """sound [batch, n], n in whole frames -> codes"""
        return self.quantize(self.encode_latents(sound))[0]

    def dequantize(self, codes):
        outputs, k = 0.0, 0
        for part in self.quantizers:
            total = 0.0
            for layer in part.layers:
                total = total + F.embedding(codes[..., k], embeddings(layer.codebook))
                k += 1
            outputs = outputs + causal_conv(part.output_proj, total)
        return outputs

    def decode(self, codes):
        """codes [batch, frames, codebooks] -> sound [batch, frames * FRAME]"""
        return self.decode_latents(self.dequantize(codes))

    # Before and after training

    @torch.no_grad()
    def initialize(self, sound):
        """Scale every layer so that speech keeps unit variance on its way, and fill the codebooks."""
        self._fitting = True
        latents = self.encode_latents(sound)
        for part in self.quantizers:
            rest = causal_conv(part.input_proj, latents)
            part.input_proj.weight.div_(rest.std())
            rest = causal_conv(part.input_proj, latents).flatten(0, 1)
            for layer in part.layers:
                size = len(layer.codebook.cluster_usage)
                entries = rest[torch.randint(len(rest), (size,), device=rest.device)]
                entries = entries + 1e-3 * torch.randn_like(entries)
                layer.codebook.cluster_usage.fill_(1)
                layer.codebook.embed_sum.copy_(entries)
                rest = rest - entries[nearest(rest, entries)]
        self.decode_latents(self.quantize(latents)[1])
        self._fitting = False

    @torch.no_grad()
    def freeze_codebooks(self):
        """Store each entry itself in place of a running sum, and keep entry 0 of codebook 0 from
        ever being chosen: a frame of zeros then means the end of speech and nothing else."""
        first = self.codebooks[0]
        rarest = int(first.cluster_usage.argmin())
        for codebook in self.codebooks:
            codebook.embed_sum.copy_(embeddings(codebook))
            codebook.cluster_usage.fill_(1)
        first.embed_sum[rarest] = first.embed_sum[0]
        first.embed_sum[0] = FAR


def embeddings(codebook):
    return codebook.embed_sum / codebook.cluster_usage.clamp(min=1e-5)[:, None]


def nearest(x, entries):
    """The index of the entry [size, dim] nearest to each x [n, dim]"""
    return (2 * x @ entries.T - entries.square().sum(1)).argmax(1)


@torch.no_grad()
def move_codebook(codebook, chosen, x, weight, decay, restart_below=0.1):
    """Running means of the vectors that chose each entry; an entry used less than `restart_below`
    of the average starts again at a vector of this batch."""
    size = len(codebook.cluster_usage)
    picks = F.one_hot(chosen, size).float() * weight[:, None]
    usage = decay * codebook.cluster_usage + (1 - decay) * picks.sum(0)
    sums = decay * codebook.embed_sum + (1 - decay) * picks.T @ x
    average = picks.sum() / size
    unused = usage < restart_below * average
    anew = x[torch.randint(len(x), (size,), device=x.device)]
    codebook.cluster_usage.copy_(torch.where(unused, 0.5 * average, usage))
    codebook.embed_sum.copy_(torch.where(unused[:, None], 0.5 * average * anew, sums))


def save_codec(codec, path, **more):
    unfinished = path.with_suffix('.part')
    torch.save({'config': dataclasses.asdict(codec.config), 'weights': codec.state_dict(), **more}, unfinished)
    unfinished.rename(path)


def load_codec(path, device='cpu'):
    saved = torch.load(path, map_location='cpu', weights_only=True)
    codec = Codec(CodecConfig(**saved['config']))
    codec.load_state_dict(saved['weights'])
    return codec.to(device).eval()


def transformers_config(c):
    """The same sizes as the fields of transformers' MimiConfig."""
    return dict(
        sampling_rate=RATE, num_filters=c.num_filters, hidden_size=c.hidden_size,
        intermediate_size=c.intermediate_size, num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads, num_key_value_heads=c.num_attention_heads,
        head_dim=c.head_dim, codebook_size=c.codebook_size, codebook_dim=c.codebook_dim,
        vector_quantization_hidden_dimension=c.codebook_dim, num_quantizers=c.num_quantizers,
        num_semantic_quantizers=1, upsample_groups=c.hidden_size, sliding_window=c.sliding_window,
        upsampling_ratios=list(c.upsampling_ratios), layer_scale_initial_scale=0.2,
        max_position_embeddings=8000, rope_parameters={'rope_type': 'default', 'rope_theta': c.rope_theta})
