# SPDX-License-Identifier: Apache-2.0
"""A listener that writes down the phones it hears: the codec is to keep them in its sound."""
import torch
import torch.nn.functional as F
from torch import nn

from codec import FRAME, PHONES_PER_FRAME, RATE
from flite import PHONES
from sound import mel_filters, stft

WINDOW = 2 * FRAME // PHONES_PER_FRAME      # spectra lie a quarter of it apart: two a label
BANDS, HIGHEST = 80, 8000
FLOOR = 1e-3


class Listener(nn.Module):
    """Sound [batch, n] -> scores of the phones [batch, n / FRAME * PHONES_PER_FRAME, phones]"""

    def __init__(self, channels=192):
        super().__init__()
        self.register_buffer('window', torch.hann_window(WINDOW), persistent=False)
        self.register_buffer('filters', mel_filters(RATE, WINDOW, BANDS, HIGHEST), persistent=False)
        sizes = [BANDS, channels, channels, channels]
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 5, padding=2 * d, dilation=d)
                                    for a, b, d in zip(sizes, sizes[1:], (1, 2, 3)))
        self.verdict = nn.Linear(channels, len(PHONES))

    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float(), (3 * WINDOW // 8, 3 * WINDOW // 8))
            power = torch.view_as_real(stft(padded, self.window)[:, ::2]).square().sum(-1)
            h = (power @ self.filters / WINDOW + FLOOR ** 2).log()
        h = h.transpose(1, 2)
        for layer in self.layers:
            h = F.gelu(layer(h))
        return self.verdict(h.transpose(1, 2)).float()


def misheard(scores, phones):
    """Cross-entropy of the scores and the labels [batch, labels]"""
    return F.cross_entropy(scores.transpose(1, 2), phones)
