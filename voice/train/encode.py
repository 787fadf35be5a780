# SPDX-License-Identifier: Apache-2.0
"""Turn spoken shards into codes, as they appear, until all are spoken. Waits for the codec.

    encode.py --codec codec.pt --speech DIR --out DIR [--share K/N]

Several may run side by side, each with a share: the shards of every N-th process that speaks.
Writes one .npz a group of shards: `sentence`, `speaker`, `n_frames` [n] and `codes` (int16,
frames of codebooks, one utterance after the other).
"""
import argparse
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

from codec import FRAME, load_codec
from flite import RATE as FLITE_RATE
from sound import Resampler
from speech import loudness, shards, spoken_by

SHARDS_A_FILE = 16
FRAME_16K = FRAME * 2 // 3


@torch.no_grad()
def encode_utterances(codec, resampler, sounds, device):
    """sounds: float arrays at 16 kHz -> their codes [frames, codebooks], in one padded batch"""
    n_frames = [-(-len(s) // FRAME_16K) for s in sounds]
    padded = np.zeros((len(sounds), max(n_frames) * FRAME_16K), np.float32)
    for row, sound in zip(padded, sounds):
        row[:len(sound)] = sound
    codes = codec.encode(resampler(torch.from_numpy(padded).to(device)).clamp(-1, 1))
    return [c[:n].short().cpu().numpy() for c, n in zip(codes, n_frames)]


def encode_shard(codec, resampler, shard, device, batch_seconds=200):
    """(sentence, speaker, codes) of every utterance of a shard"""
    ends = np.cumsum(shard['n_samples'])
    gains = loudness(shard['speaker'])
    samples = shard['samples']
    sounds = [samples[end - n:end] * (gain / 32768)
              for end, n, gain in zip(ends, shard['n_samples'], gains)]
    by_length = np.argsort(shard['n_samples'])
    batch, longest = [], 0
    for i in by_length:
        longest = max(longest, len(sounds[i]))
        if batch and longest * (len(batch) + 1) > batch_seconds * FLITE_RATE:
            yield from zip(batch, encode_utterances(codec, resampler, [sounds[j] for j in batch], device))
            batch, longest = [], len(sounds[i])
        batch.append(i)
    yield from zip(batch, encode_utterances(codec, resampler, [sounds[j] for j in batch], device))


def write_codes(path, utterances):
    sentence, speaker, codes = zip(*utterances)
    unfinished = path.with_suffix('.part')
    with open(unfinished, 'wb') as f:
        np.savez(f, sentence=np.array(sentence, np.int32), speaker=np.array(speaker, np.uint8),
                 n_frames=np.array([len(c) for c in codes], np.int32), codes=np.concatenate(codes))
    os.rename(unfinished, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--codec', type=pathlib.Path, required=True)
    parser.add_argument('--speech', type=pathlib.Path, required=True, help='directory of shards')
    parser.add_argument('--out', type=pathlib.Path, required=True, help='directory of codes')
    parser.add_argument('--share', default='0/1', help='K/N, K from 0')
    args = parser.parse_args()
    share, n_shares = map(int, args.share.split('/'))
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)
    while not args.codec.exists():
        time.sleep(0.2)
    codec, resampler = load_codec(args.codec, device), Resampler(3, 2).to(device)

    began = time.time()
    done, n_files, n_frames = set(), 0, 0
    while True:
        all_spoken = (args.speech / 'DONE').exists()
        new = [path for path in shards(args.speech)
               if path not in done and spoken_by(path) % n_shares == share][:SHARDS_A_FILE]
        if not new and all_spoken:
            break
        if not new:
            time.sleep(0.5)
            continue
        utterances = []
        for path in new:
            shard = dict(np.load(path))
            utterances += [(shard['sentence'][i], shard['speaker'][i], codes)
                           for i, codes in encode_shard(codec, resampler, shard, device)]
        write_codes(args.out / f'{share}-{n_files:04d}.npz', utterances)
        done.update(new)
        n_files += 1
        n_frames += sum(len(codes) for _, _, codes in utterances)
        print(f'{n_frames / 12.5 / 3600:.1f} h encoded in {time.time() - began:.0f} s', flush=True)


if __name__ == '__main__':
    main()
