# SPDX-License-Identifier: Apache-2.0
"""Two families of marks compared, before one was chosen: docs/MARK.md, "Two designs".

    bench/mark/designs.py CLIPS [--n 12]

Spread spectrum: keyed noise in the bins of a short-time spectrum, in proportion to the sound's smoothed
magnitudes there; the detector correlates. Patchwork: the energies of 16 bands in two neighbouring slots of
10 ms are moved against each other by a keyed sign; the detector compares them. Both in 300..3,400 Hz,
without payload, at the right place (no search). z is the statistic over its own spread under 40 other keys,
over 3 s of each clip.
"""
import argparse
import pathlib

import numpy as np
import scipy.signal
import soundfile

from attacks import ATTACKS, RATE
from table import quality

SIZE, HOP = 256, 128
LOW, HIGH = 300, 3400


class Spread:
    def __init__(self, strength):
        self.strength = strength
        self.window = np.sqrt(np.hanning(SIZE + 1)[:-1])
        hz = np.fft.rfftfreq(SIZE, 1 / RATE)
        self.band = (hz >= LOW) & (hz <= HIGH)

    def spectrum(self, x):
        return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, SIZE)[::HOP] * self.window)

    def carrier(self, n, seed):
        return self.spectrum(np.random.default_rng(seed).standard_normal(n))

    def envelope(self, spectrum):
        power = scipy.signal.convolve2d(np.abs(spectrum) ** 2, np.outer([1, 2, 1], [1, 2, 3, 2, 1]) / 36, 'same')
        return np.sqrt(power + 1e-4 * power.mean() + 1e-9)

    def mark(self, x, seed):
        spectrum, carrier = self.spectrum(x), self.carrier(len(x), seed)
        added = self.envelope(spectrum) * carrier / np.sqrt(np.mean(np.abs(carrier) ** 2)) * self.band
        y = x.copy()
        for i, frame in enumerate(np.fft.irfft(added) * self.window):
            y[i * HOP:i * HOP + SIZE] += self.strength * frame
        return y

    def statistic(self, y, seeds):
        spectrum = self.spectrum(y)
        white = (spectrum / self.envelope(spectrum))[:, self.band]
        return [np.real(np.conj(self.carrier(len(y), s)[:, self.band]) * white).sum() for s in seeds]


class Patchwork:
    slot, n_bands = RATE // 100, 16

    def __init__(self, strength):
        self.strength = strength
        edges = 700 * (10 ** (np.linspace(*[np.log10(1 + f / 700) for f in (LOW, HIGH)], self.n_bands + 1)) - 1)
        self.filters = []
        for low, high in zip(edges[:-1], edges[1:]):
            turn, width = 2 * np.pi * np.sqrt(low * high) / RATE, np.tan(np.pi * (high - low) / RATE)
            self.filters.append(([width / (1 + width), 0, -width / (1 + width)],
                                 [1, -2 * np.cos(turn) / (1 + width), (1 - width) / (1 + width)]))

    def bands(self, x):
        return np.array([scipy.signal.lfilter(b, a, x) for b, a in self.filters])

    def signs(self, n_pairs, seed):
        return np.random.default_rng(seed).choice([-1.0, 1.0], (n_pairs, self.n_bands))

    def mark(self, x, seed):
        n_pairs = len(x) // (2 * self.slot)
        signs = self.signs(n_pairs, seed)
        gains = np.repeat(np.stack([signs, -signs], 1).reshape(-1, self.n_bands), self.slot, 0)
        smooth = RATE // 250
        gains = scipy.signal.lfilter(np.ones(smooth) / smooth, 1, gains, axis=0)
        gains = np.roll(gains, -smooth // 2, 0).T
        y = x.copy()
        y[:gains.shape[1]] += self.strength * (self.bands(x)[:, :gains.shape[1]] * gains).sum(0)
        return y

    def statistic(self, y, seeds):
        n_pairs = len(y) // (2 * self.slot)
        energy = (self.bands(y)[:, :n_pairs * 2 * self.slot] ** 2).reshape(self.n_bands, n_pairs, 2, -1).sum(3)
        levels = np.log(energy + 1e-3 * energy.mean() + 1e-9)
        moved = (levels[:, :, 0] - levels[:, :, 1]).T
        moved = np.tanh((moved - np.median(moved, 1, keepdims=True)) / 2)
        return [(self.signs(n_pairs, s) * moved).sum() for s in seeds]


def aligned(x, y):
    """y without the delay that a codec put before it"""
    n = min(len(x), len(y))
    at = int(np.argmax(scipy.signal.fftconvolve(y[:n], x[:n][::-1]))) - (n - 1)
    return (y[at:] if at > 0 else np.pad(y, (-at, 0)))[:n]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('clips', type=pathlib.Path)
    parser.add_argument('--n', type=int, default=12)
    arguments = parser.parse_args()
    clips = [soundfile.read(f)[0][:3 * RATE] for f in sorted(arguments.clips.glob('*.wav'))[:arguments.n]]
    attacks = {'none': lambda x: x, **{a: ATTACKS[a] for a in ('white noise, 20 dB', 'opus 12 kbit/s', '8 kHz, mu-law')}}
    for design in (Spread(0.1), Spread(0.14), Patchwork(0.12), Patchwork(0.2)):
        marked = [design.mark(x, 1) for x in clips]
        costs = [quality(x, y) for x, y in zip(clips, marked)]
        print(f'{type(design).__name__} {design.strength}: SNR {np.mean([c["snr_db"] for c in costs]):.1f} dB, '
              f'PESQ {np.mean([c["pesq"] for c in costs]):.2f}', end='')
        for name, attack in attacks.items():
            z = []
            for y in marked:
                values = np.array(design.statistic(aligned(y, np.asarray(attack(y), float)), range(1, 42)))
                z.append(values[0] / values[1:].std())
            print(f'; {name}: z {np.mean(z):.1f}, least {np.min(z):.1f}', end='', flush=True)
        print()


if __name__ == '__main__':
    main()
