# SPDX-License-Identifier: Apache-2.0
"""The table of marks: what is found after which attack, and what a mark costs in quality.

    bench/mark/table.py CLIPS [--n 500] [--perth] [--jobs 2] [--only ATTACK,...] [--json LINE_FILE]

CLIPS is the folder that bench/mark/clips.py makes. Needs ffmpeg, and the packages numpy, scipy,
soundfile and pesq; --perth also resemble-perth 1.0.1. A row is one attack: how many of the clips were
found (p at most 1e-5; Perth: a confidence of at least 0.5), and in how many the payload was read.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import scipy.signal
import soundfile

import library

RATE = library.RATE
PAYLOAD = (1, 0xbeef, 42)


def through(samples, encode, ending, decode=()):
    """samples after a codec or a filter of ffmpeg"""
    with tempfile.TemporaryDirectory() as folder:
        a, b, c = f'{folder}/a.wav', f'{folder}/b.{ending}', f'{folder}/c.wav'
        soundfile.write(a, samples, RATE, 'FLOAT')
        quiet = ['ffmpeg', '-v', 'error', '-y', '-i']
        subprocess.run([*quiet, a, *encode, b], check=True)
        subprocess.run([*quiet, b, *decode, '-ar', str(RATE), '-c:a', 'pcm_f32le', c], check=True)
        return soundfile.read(c, dtype='float32')[0]


def noise(samples, snr_db=20):
    random = np.random.default_rng(20261130).standard_normal(len(samples))
    return samples + random * np.sqrt(np.mean(samples ** 2) / 10 ** (snr_db / 10))


def cut(samples, seconds):
    start = (len(samples) - int(seconds * RATE)) // 2
    return samples[start:start + int(seconds * RATE)]


def speed(factor):
    return lambda x: through(x, ['-af', f'asetrate={round(RATE * factor)},aresample={RATE}'], 'wav')


def codec(name, rate):
    return lambda x: through(x, ['-c:a', name, '-b:a', rate], 'opus' if name == 'libopus' else 'mp3')


def telephone(x):
    return through(x, ['-ar', '8000', '-c:a', 'pcm_mulaw'], 'wav')


def both(first, second):
    return lambda x: second(first(x))


ATTACKS = {
    'none, cut to 3 s': lambda x: cut(x, 3),
    'mp3 64 kbit/s': codec('libmp3lame', '64k'),
    'mp3 32 kbit/s': codec('libmp3lame', '32k'),
    'opus 24 kbit/s': codec('libopus', '24k'),
    'opus 12 kbit/s': codec('libopus', '12k'),
    '8 kHz, mu-law': telephone,
    '16 kHz and back': lambda x: through(x, ['-ar', '16000'], 'wav'),
    'white noise, 20 dB': noise,
    'gain -12 dB': lambda x: x * 0.25,
    'cut to 2 s': lambda x: cut(x, 2),
    'speed 0.98': speed(0.98),
    'speed 0.993': speed(0.993),
    'speed 1.02': speed(1.02),
    'low-pass 3.4 kHz': lambda x: through(x, ['-af', 'lowpass=3400,lowpass=3400'], 'wav'),
    'mp3 64 and 8 kHz mu-law': both(codec('libmp3lame', '64k'), telephone),
    'opus 24 and speed 1.01': both(codec('libopus', '24k'), speed(1.01)),
    'noise 30 dB and opus 24': both(lambda x: noise(x, 30), codec('libopus', '24k')),
    'gain -12 dB and cut to 2 s': lambda x: cut(x, 2) * 0.25,
}


class Ours:
    mark = staticmethod(lambda x: library.mark(x, PAYLOAD))

    @staticmethod
    def detect(x):
        found, p_value = library.detect(x)
        read = any(f.has_payload and tuple(f.payload) == PAYLOAD for f in found)
        false = any(f.has_payload and tuple(f.payload) != PAYLOAD for f in found)
        return bool(found), read, false, p_value


class Perth:
    def __init__(self):
        import perth
        import torch
        torch.set_num_threads(1)
        self.net = perth.PerthImplicitWatermarker()

    def mark(self, x):
        return self.net.apply_watermark(x.astype(np.float32), sample_rate=RATE)[:len(x)]

    def detect(self, x):
        confidence = float(self.net.get_watermark(np.asarray(x, np.float32), sample_rate=RATE))
        return confidence >= 0.5, False, False, 1 - confidence


def quality(x, y):
    import pesq
    n = min(len(x), len(y))
    x, y = x[:n], y[:n]
    a, b = (scipy.signal.resample_poly(s, 2, 3) for s in (x, y))
    snr = np.sum(x ** 2) / np.sum((x - y) ** 2)
    return {'snr_db': float(10 * np.log10(snr)), 'pesq': pesq.pesq(16000, a, b, 'wb')}


def one_clip(task):
    path, method, names = task
    global maker
    if 'maker' not in globals() or type(maker).__name__ != method:
        maker = {'Ours': Ours, 'Perth': Perth}[method]()
    x = soundfile.read(path, dtype='float32')[0]
    y = maker.mark(x)
    rows = {name: maker.detect(ATTACKS[name](y)) for name in names}
    return {'clip': os.path.basename(path), 'method': method, **quality(x, y), 'rows': rows,
            'unmarked': maker.detect(x)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('clips', type=pathlib.Path)
    parser.add_argument('--n', type=int, default=500)
    parser.add_argument('--perth', action='store_true')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--only')
    parser.add_argument('--json', type=pathlib.Path, help='append each clip as a line')
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob('*.wav'))[:arguments.n]
    names = [a for a in ATTACKS if not arguments.only or any(o in a for o in arguments.only.split(','))]
    print(f'{len(files)} clips')
    for method in ['Ours'] + ['Perth'] * arguments.perth:
        with multiprocessing.Pool(arguments.jobs) as pool:
            done = []
            for result in pool.imap_unordered(one_clip, [(f, method, names) for f in files]):
                done.append(result)
                if arguments.json:
                    with arguments.json.open('a') as lines:
                        lines.write(json.dumps(result) + '\n')
        mean = {k: np.mean([d[k] for d in done]) for k in ('snr_db', 'pesq')}
        print(f'{method}: SNR {mean["snr_db"]:.1f} dB, PESQ {mean["pesq"]:.2f}, '
              f'unmarked clips found: {sum(d["unmarked"][0] for d in done)}')
        for name in names:
            found, read, false, _ = np.array([d['rows'][name] for d in done], float).mean(0)
            print(f'  {name:28s} found {100 * found:5.1f} %  payload {100 * read:5.1f} %  wrong payload {100 * false:.1f} %',
                  flush=True)


if __name__ == '__main__':
    main()
