# SPDX-License-Identifier: Apache-2.0
"""The table of marks: what is found after which attack, and what a mark costs in quality.

    bench/mark/table.py CLIPS LINES [--n 500] [--marks Ours,Perth] [--jobs 1] [--listen N]
        [--only ATTACK,...] [--report]

CLIPS is the folder that bench/mark/clips.py makes. LINES gets a line of JSON for each clip and mark; what
it has already is not done again, so that a run can be stopped and go on, here or elsewhere. Then the table of all its lines
is printed (--report: nothing but that). A row is one attack: how many of the clips were found (p at most
1e-5; Perth: a confidence of at least 0.5), and in how many the payload was read. --listen: ViSQOL (speech)
and pocketsphinx's word errors, of the first N clips alone, since both are slow. bench/mark/requirements.txt
has the packages; the encoders are lame and opusenc. Fails where an unmarked clip was found to have our
mark, or a payload was read that nobody wrote.
"""
import argparse
import functools
import json
import multiprocessing
import pathlib
import sys

import numpy as np
import scipy.signal
import soundfile

import library
from attacks import ATTACKS, at_rate, attacked

RATE = library.RATE
PAYLOAD = (1, 0xbeef, 42)


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
    return {'snr_db': float(10 * np.log10(snr)), 'pesq': float(pesq.pesq(16000, a, b, 'wb'))}


class Listener:
    """ViSQOL of marked sound against unmarked, and the words that pocketsphinx gets wrong"""

    def __init__(self):
        from pocketsphinx import Decoder
        from visqol import VisqolApi
        sys.path.append(str(library.ROOT / 'voice'))
        import judge
        self.judge, self.decoder, self.visqol = judge, Decoder(samprate=16000, loglevel='FATAL'), VisqolApi()
        self.visqol.create(mode='speech', use_lattice_model=False)

    def errors(self, x, words):
        sound = np.clip(at_rate(np.pad(x, RATE // 2), RATE, 16000) * 32768, -32768, 32767).astype(np.int16)
        self.decoder.start_utt()
        self.decoder.process_raw(sound.tobytes(), full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp().hypstr if self.decoder.hyp() else ''
        return self.judge.word_errors(words, self.judge.words(heard))

    def judge_clip(self, x, y, words):
        a, b = (at_rate(s[:len(y)], RATE, 16000).astype(float) for s in (x, y))
        return {'visqol': float(self.visqol.measure_from_arrays(a, b, 16000).moslqo), 'n_words': len(words),
                'errors': self.errors(x, words), 'errors_marked': self.errors(y, words)}


@functools.cache
def method_named(name):
    return {'Ours': Ours, 'Perth': Perth}[name]()


@functools.cache
def the_listener():
    return Listener()


def one_clip(task):
    path, name, attacks, is_heard = task
    method = method_named(name)
    x = soundfile.read(path, dtype='float32')[0]
    y, done = method.mark(x), {}
    line = {'clip': path.name, 'method': name, **quality(x, y), 'unmarked': method.detect(x),
            'rows': {a: method.detect(attacked(y, ATTACKS[a], done)) for a in attacks}}
    if is_heard:
        listener = the_listener()
        words = listener.judge.words(path.with_suffix('.txt').read_text())
        line['heard'] = listener.judge_clip(x, y, words)
    return line


def report(lines):
    for name in ('Ours', 'Perth'):
        done = [line for line in lines if line['method'] == name]
        if not done:
            continue
        mean = {k: np.mean([d[k] for d in done]) for k in ('snr_db', 'pesq')}
        print(f'{name}: {len(done)} clips, SNR {mean["snr_db"]:.1f} dB, PESQ {mean["pesq"]:.2f}, '
              f'unmarked clips found: {sum(d["unmarked"][0] for d in done)}')
        heard = [d['heard'] for d in done if 'heard' in d]
        if heard:
            n_words = sum(h['n_words'] for h in heard)
            print(f'  {len(heard)} clips: ViSQOL {np.mean([h["visqol"] for h in heard]):.2f}; of {n_words} words wrong: '
                  f'unmarked {sum(h["errors"] for h in heard)}, marked {sum(h["errors_marked"] for h in heard)}')
        for attack in done[0]['rows']:
            found, read, false, _ = np.array([d['rows'][attack] for d in done], float).mean(0)
            print(f'  {attack:28s} found {100 * found:5.1f} %  payload {100 * read:5.1f} %  wrong payload {100 * false:.1f} %')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('clips', type=pathlib.Path)
    parser.add_argument('lines', type=pathlib.Path)
    parser.add_argument('--n', type=int, default=500)
    parser.add_argument('--marks', default='Ours')
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--listen', type=int, default=0)
    parser.add_argument('--only')
    parser.add_argument('--report', action='store_true')
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob('*.wav'))[:arguments.n]
    attacks = [a for a in ATTACKS if not arguments.only or any(o in a for o in arguments.only.split(','))]
    arguments.lines.touch()
    done = {(line['clip'], line['method']) for line in map(json.loads, arguments.lines.open())}
    tasks = [(path, name, attacks, i < arguments.listen) for i, path in enumerate(files)
             for name in arguments.marks.split(',') if (path.name, name) not in done]
    if tasks and not arguments.report:
        with multiprocessing.Pool(arguments.jobs) as pool, arguments.lines.open('a') as out:
            for line in pool.imap_unordered(one_clip, tasks):
                out.write(json.dumps(line) + '\n')
                out.flush()
    lines = [json.loads(line) for line in arguments.lines.open()]
    report(lines)
    ours = [line for line in lines if line['method'] == 'Ours']
    sys.exit(any(line['unmarked'][0] or any(row[2] for row in line['rows'].values()) for line in ours))


if __name__ == '__main__':
    main()
