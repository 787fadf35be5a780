# SPDX-License-Identifier: Apache-2.0
"""How often sound without the mark is taken for marked.

    bench/mark/false_alarms.py CLIPS [--windows 100000] [--jobs 2] [--all-speeds] [--marked | --twice]

Windows are clips, as much noise, and as much music of its own (chords of saw teeth, a beat), each of at
most 5 s, under random keys: which are as independent of the sound as the sound is of one key. --marked:
the clips carry the mark of another key. --twice: they carry two marks of the random key, one on the other, with
random payloads, and are looked at with it. Printed: how many were found, with the upper end of the 95 %
confidence interval (Clopper and Pearson), how many payloads were read that nobody wrote, and how the
p-values, which are bounds, compare with how often they came. Fails where a payload was read that nobody
wrote, or, but for --twice, more than one window of 100,000 was found.
"""
import argparse
import multiprocessing
import pathlib
import sys

import numpy as np
import soundfile

import library

RATE = library.RATE


def music(random):
    time = np.arange(5 * RATE) / RATE
    sound = np.zeros_like(time)
    for beat in range(10):
        at = (time >= beat / 2) & (time < beat / 2 + 0.5)
        for note in random.choice([0, 3, 4, 7, 9, 12, 16], 3, replace=False):
            sound[at] += (time[at] * 130.8 * 2 ** (note / 12)) % 1 - 0.5
        sound[at] += random.standard_normal(at.sum()) * np.exp(-(time[at] - beat / 2) * 40)
    return (0.1 * sound).astype(np.float32)


def window(path, kind, random, is_marked):
    x = soundfile.read(path, dtype='float32')[0][:5 * RATE]
    if kind == 1:
        x = (0.1 * random.standard_normal(len(x))).astype(np.float32)
    elif kind == 2:
        x = music(random)
    if is_marked:
        x = library.mark(x, (1, 0x1234, 5), key=random.bytes(32))
    return x


def random_payload(random):
    return tuple(int(random.integers(n)) for n in (256, 65536, 256))


def one(task):
    path, seed, n_keys, arguments = task
    random = np.random.default_rng(seed)
    x = window(path, 0 if arguments.marked or arguments.twice else seed % 3, random, arguments.marked)
    values, n_false = [], 0
    for _ in range(n_keys):
        key, y, written = random.bytes(32), x, []
        if arguments.twice:
            written = [random_payload(random), random_payload(random)]
            y = library.mark(library.mark(x, written[0], key=key), written[1], key=key)
        found, p_value = library.detect(y, key=key, fixed_speed=not arguments.all_speeds)
        values.append(p_value)
        n_false += any(f.has_payload and tuple(f.payload) not in written for f in found)
    return values, n_false


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('clips', type=pathlib.Path)
    parser.add_argument('--windows', type=int, default=100000)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--all-speeds', action='store_true')
    parser.add_argument('--marked', action='store_true')
    parser.add_argument('--twice', action='store_true')
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob('*.wav'))
    n_tasks = 3 * len(files)
    n_keys = -(-arguments.windows // n_tasks)
    tasks = [(files[i % len(files)], i, n_keys, arguments) for i in range(n_tasks)]
    values, n_payloads = [], 0
    with multiprocessing.Pool(arguments.jobs) as pool:
        for more, n in pool.imap_unordered(one, tasks):
            values += more
            n_payloads += n
    values = np.array(values)
    n_found = int((values <= 1e-5).sum())
    print(f'{len(values)} windows: {n_found} found; {n_payloads} wrong payloads')
    if not arguments.twice:  # where what is found is a false alarm
        import scipy.stats
        upper = scipy.stats.beta.ppf(0.95, n_found + 1, len(values) - n_found)
        print(f'  at most {upper:.1e} with 95 % confidence')
        for p in (0.5, 0.1, 0.01, 0.001, 0.0001):
            print(f'  p at most {p:g}: {np.mean(values <= p):.2e}')
    sys.exit(n_payloads > 0 or (not arguments.twice and n_found > max(1, len(values) / 100000)))


if __name__ == '__main__':
    main()
