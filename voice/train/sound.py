# SPDX-License-Identifier: Apache-2.0
"""Resampling, spectra and the spectral distance that the codec learns by."""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Resampler(nn.Module):
    """Sampling rate times up / down, by a windowed sinc. [batch, n] -> [batch, n * up // down]"""

    def __init__(self, up, down, zero_crossings=24, rolloff=0.97):
        super().__init__()
        self.up, self.down = up, down
        cutoff = rolloff * min(1.0, up / down)
        self.reach = math.ceil(zero_crossings * max(1.0, down / up))
        taps = torch.arange(-self.reach, self.reach + down + 1).double()
        kernels = []
        for phase in range(up):
            distance = phase * down / up - taps
            window = torch.cos(math.pi * distance / (2 * self.reach)) ** 2 * (distance.abs() < self.reach)
            kernels.append(torch.sinc(distance * cutoff) * cutoff * window)
        self.register_buffer('kernels', torch.stack(kernels)[:, None].float(), persistent=False)

    def forward(self, x):
        n_out = x.shape[-1] * self.up // self.down
        padded = F.pad(x[:, None], (self.reach, self.reach + 2 * self.down))
        phases = F.conv1d(padded, self.kernels, stride=self.down)
        return phases.transpose(1, 2).reshape(x.shape[0], -1)[:, :n_out]


def mel_filters(rate, n_fft, n_bands, highest):
    """Triangular filters [n_fft / 2 + 1, n_bands], evenly spaced in mel from 0 to `highest` Hz."""
    mel = torch.linspace(0, 2595 * math.log10(1 + highest / 700), n_bands + 2)
    hz = 700 * (10 ** (mel / 2595) - 1)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - hz[:-2]) / (hz[1:-1] - hz[:-2])
    falling = (hz[2:] - bins) / (hz[2:] - hz[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def stft(x, window):
    """[batch, n] -> complex [batch, frames, len(window) / 2 + 1], a quarter window apart, unpadded"""
    n = len(window)
    return torch.fft.rfft(x.unfold(1, n, n // 4) * window)


class MelDistance(nn.Module):
    """Mean absolute difference of mel spectra, log and plain, over several window lengths."""

    SCALES = [(128, 12), (256, 24), (512, 48), (1024, 80), (2048, 120)]     # window, bands
    FLOOR = 3e-4                # what lies below is silence
    TYPICAL = 0.02              # a mel magnitude of speech: brings the plain part to the log part's size
    REPORTED = 1024             # the scale whose log10 distance is kept in `last`

    def __init__(self, rate=24000):
        super().__init__()
        for n, bands in self.SCALES:
            filters = mel_filters(rate, n, bands, rate / 2)
            self.register_buffer(f'filters_{n}', filters / filters.sum(0).clamp(min=1e-6), persistent=False)
            self.register_buffer(f'window_{n}', torch.hann_window(n), persistent=False)

    def mel(self, x, n):
        spectrum = torch.view_as_real(stft(x, getattr(self, f'window_{n}')))
        magnitude = (spectrum.square().sum(-1) + 1e-12).sqrt() / math.sqrt(n)
        return magnitude @ getattr(self, f'filters_{n}')

    def forward(self, ours, target):
        total = 0.0
        for n, _ in self.SCALES:
            a = self.mel(ours, n)
            with torch.no_grad():
                b = self.mel(target, n)
            log_distance = (a.clamp(min=self.FLOOR).log10() - b.clamp(min=self.FLOOR).log10()).abs().mean()
            if n == self.REPORTED:
                self.last = log_distance.detach()
            total = total + log_distance + 0.1 * (a - b).abs().mean() / self.TYPICAL
        return total / len(self.SCALES)
