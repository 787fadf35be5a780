# SPDX-License-Identifier: Apache-2.0
"""Speak the sentences with flite, on many cores, into shards that the trainers read.

    speak.py --sentences sentences.txt.gz --out DIR [--processes N] [--seconds S]

A shard is an .npz of about five minutes of speech: `sentence` and `speaker` [n] of each
utterance, `n_samples` [n] and `samples` (16 kHz, int16, one after the other), `n_phones` [n] and
`phones` (one label every 20 ms). Shards appear whole, under their final name, so a trainer may
read while this runs; the file DONE ends them. The same seed gives each sentence the same speaker.
"""
import argparse
import gzip
import multiprocessing
import os
import pathlib
import time

import numpy as np

from flite import Flite, RATE

SHARD_SECONDS = 300
SHORTEST, LONGEST = 0.3, 15.0                  # seconds; other utterances are left out
SPEAKER_SHARES = [0.34, 0.28, 0.18, 0.20]      # the default speaks most; then who is hard to code


def write_shard(path, utterances):
    sentence, speaker, samples, phones = zip(*utterances)
    unfinished = path.with_suffix('.part')
    with open(unfinished, 'wb') as f:
        np.savez(f, sentence=np.array(sentence, np.int32), speaker=np.array(speaker, np.uint8),
                 n_samples=np.array([len(s) for s in samples]), samples=np.concatenate(samples),
                 n_phones=np.array([len(p) for p in phones]), phones=np.concatenate(phones))
    os.rename(unfinished, path)


def speak_share(worker, args, sentences, deadline):
    """Speak each n-th sentence, n being the number of processes."""
    os.nice(10)         # whoever trains goes first
    flite, rng = Flite(args.flite), np.random.default_rng([args.seed, worker])
    utterances, shard_size, n_shards = [], 0, 0
    for i in range(worker, len(sentences), args.processes):
        speaker = int(rng.choice(len(SPEAKER_SHARES), p=SPEAKER_SHARES))
        samples, phones = flite.speak(sentences[i], speaker)
        if not SHORTEST * RATE <= len(samples) <= LONGEST * RATE:
            continue
        utterances.append((i, speaker, samples, phones))
        shard_size += len(samples)
        if shard_size >= SHARD_SECONDS * RATE:
            write_shard(args.out / f'{n_shards:05d}-{worker:03d}.npz', utterances)
            utterances, shard_size, n_shards = [], 0, n_shards + 1
        if time.time() > deadline:
            break
    if utterances:
        write_shard(args.out / f'{n_shards:05d}-{worker:03d}.npz', utterances)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sentences', type=pathlib.Path, required=True)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--flite', type=pathlib.Path, help="directory of flite's libraries, if not installed")
    parser.add_argument('--processes', type=int, default=os.cpu_count())
    parser.add_argument('--seconds', type=float, default=1e9, help='stop after so long')
    parser.add_argument('--seed', type=int, default=11)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sentences = gzip.open(args.sentences, 'rt').read().splitlines()
    deadline = time.time() + args.seconds
    workers = [multiprocessing.Process(target=speak_share, args=(k, args, sentences, deadline))
               for k in range(args.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (args.out / 'DONE').touch()


if __name__ == '__main__':
    main()
