# SPDX-License-Identifier: Apache-2.0
"""A discriminator of spectrograms at several resolutions, for the codec's last polish."""
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from sound import stft

SLOPE = 0.2


class SpectrumDiscriminator(nn.Module):
    """Judges patches of one spectrogram, up to 9 kHz (the speech ends at 8)."""

    def __init__(self, n_fft, channels, rate=24000, highest=9000):
        super().__init__()
        self.n_bins = int(n_fft * highest / rate) + 1
        self.register_buffer('window', torch.hann_window(n_fft), persistent=False)

        def conv(n_in, n_out, time, freq, stride=1, dilation=1):
            padding = ((time - 1) * dilation // 2, (freq - 1) // 2)
            return weight_norm(nn.Conv2d(n_in, n_out, (time, freq), (1, stride), padding, (dilation, 1)))

        self.layers = nn.ModuleList([
            conv(2, channels, 3, 9, stride=2),
            conv(channels, channels, 3, 9, stride=2),
            conv(channels, channels, 3, 9, stride=2, dilation=2),
            conv(channels, channels, 3, 9, stride=2, dilation=4),
            conv(channels, channels, 3, 3)])
        self.verdict = conv(channels, 1, 3, 3)

    def forward(self, x):
        """[batch, n] -> (verdicts, features of each layer)"""
        with torch.autocast(x.device.type, enabled=False):
            s = torch.view_as_real(stft(x.float(), self.window)[:, :, :self.n_bins]) / math.sqrt(len(self.window))
            magnitude = (s.square().sum(-1, keepdim=True) + 1e-8).sqrt()
            s = s / magnitude * torch.log1p(50 * magnitude)
        h, features = s.permute(0, 3, 1, 2), []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return self.verdict(h).float(), features


class Discriminator(nn.Module):
    def __init__(self, windows=(2048, 1024, 512, 256), channels=16):
        super().__init__()
        self.scales = nn.ModuleList(SpectrumDiscriminator(n, channels) for n in windows)

    def forward(self, x):
        return [scale(x) for scale in self.scales]


def discriminator_loss(real, fake):
    """Least squares: real is 1, fake is 0."""
    return sum((1 - r).square().mean() + f.square().mean() for (r, _), (f, _) in zip(real, fake)) / len(real)


def generator_losses(real, fake):
    """(how fake the output looks, how far its features are from the original's)"""
    fooled = sum((1 - f).square().mean() for f, _ in fake) / len(fake)
    matched = 0.0
    for (_, theirs), (_, ours) in zip(real, fake):
        for a, b in zip(theirs, ours):
            a = a.detach().float()
            matched = matched + (a - b.float()).abs().mean() / a.abs().mean()
    return fooled, matched / sum(len(features) for _, features in real)
