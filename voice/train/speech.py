# SPDX-License-Identifier: Apache-2.0
"""What the trainers see of the shards that speak.py writes."""
import numpy as np
import torch

from codec import FRAME, PHONES_PER_FRAME, RATE
from flite import RATE as FLITE_RATE, SPEAKERS
from sound import Resampler

LABEL = FRAME // PHONES_PER_FRAME       # samples under one phone label


def shards(directory):
    """Finished shards, in the order in which they were begun."""
    return sorted(directory.glob('*.npz'))


def spoken_by(shard):
    """The process of speak.py that wrote it"""
    return int(shard.stem.split('-')[1])


def loudness(speakers):
    """The gain of each speaker in an array of speaker numbers."""
    return np.array([gain for _, gain in SPEAKERS], np.float32)[speakers]


class SpeechPool:
    """Speech at 24 kHz in the device's memory, with its phones; grows as shards appear."""

    def __init__(self, directory, device, hours):
        self.directory, self.device, self.read = directory, device, set()
        self.samples = torch.zeros(int(hours * 3600 * RATE), dtype=torch.int16, device=device)
        self.phones = torch.zeros(len(self.samples) // LABEL, dtype=torch.uint8, device=device)
        self.n = 0                      # samples in use, in whole labels
        self.resampler = Resampler(3, 2).to(device)         # 16 to 24 kHz

    @property
    def hours(self):
        return self.n / RATE / 3600

    def grow(self, at_most=2):
        """Take in up to `at_most` new shards while there is room."""
        for path in shards(self.directory):
            if at_most == 0:
                break
            if path not in self.read:
                at_most -= 1
                self.read.add(path)
                self._append(np.load(path))

    def _append(self, shard):
        gain = np.repeat(loudness(shard['speaker']), shard['n_samples'])
        sound = torch.from_numpy(shard['samples'] * gain / 32768).to(self.device)
        sound = self.resampler(sound[None])[0].clamp(-1, 1)
        n = len(sound) // LABEL * LABEL
        if self.n + n > len(self.samples):
            return
        self.samples[self.n:self.n + n] = (sound[:n] * 32767).round().to(torch.int16)
        phones = torch.from_numpy(self._phones_by_time(shard, n // LABEL)).to(self.device)
        self.phones[self.n // LABEL:(self.n + n) // LABEL] = phones
        self.n += n

    @staticmethod
    def _phones_by_time(shard, n_labels):
        """Labels on the grid of the whole shard: utterances do not begin on whole labels."""
        step = FLITE_RATE * LABEL // RATE
        ends = (np.cumsum(shard['n_samples']) + step // 2) // step
        labels, start, taken = np.zeros(n_labels, np.uint8), 0, 0
        for end, n in zip(ends, shard['n_phones']):
            phones = shard['phones'][taken:taken + n][:min(end, n_labels) - start]
            labels[start:start + len(phones)] = phones
            start, taken = end, taken + n
        return labels

    def batch(self, n_clips, n_frames):
        """Random clips: (sound [n_clips, n_frames * FRAME], phones [n_clips, n_frames * 4])"""
        n_labels = n_frames * PHONES_PER_FRAME
        start = torch.randint(self.n // LABEL - n_labels, (n_clips, 1), device=self.device)
        sound = self.samples[start * LABEL + torch.arange(n_labels * LABEL, device=self.device)]
        phones = self.phones[start + torch.arange(n_labels, device=self.device)]
        return sound.float() / 32767, phones.long()
