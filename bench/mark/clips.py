# SPDX-License-Identifier: Apache-2.0
"""Make the clips that the table of marks is measured on: the embedded voice, flite, espeak-ng, festival.

    bench/mark/clips.py DIR [--csm build/bin/csm] [--n 500]

Writes DIR/NAME.wav, 24 kHz mono, each of at least 3.2 s (short sentences are spoken with the next
one), and DIR/NAME.txt, what is said; what is there is left. The names tell the maker: two in five by the
embedded voice, one in five by each of the others.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import soundfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE, SHORTEST = 24000, 3.2
ESPEAK = ['en-us', 'en-gb', 'en-gb-scotland', 'en-029']
FLITE = ['slt', 'rms', 'awb', 'kal16']


def sentences():
    """[(text, the words that are said)]"""
    lines = (ROOT / 'voice' / 'heldout.txt').read_text().splitlines()
    parts = [line.split('|') for line in lines if line.strip()]
    return [(p[0].strip(), p[-1].strip()) for p in parts]


def synthesize(maker, text, seed, csm, path):
    """Speak text into path, a WAV file of the maker's own rate."""
    if maker == 'csm':
        command = [csm, 'generate', '--text', text, '--seed', str(seed), '--max-audio-length-ms', '20000',
                   '--speaker', str(seed % 2), '--quiet', '--output', path]
    elif maker == 'flite':
        command = ['flite', '-voice', FLITE[seed % len(FLITE)], '-t', text, '-o', path]
    elif maker == 'espeak':
        command = ['espeak-ng', '-v', ESPEAK[seed % len(ESPEAK)], '-s', str(140 + 10 * (seed % 4)), '-w', path, text]
    else:
        with tempfile.NamedTemporaryFile('w', suffix='.txt') as words:
            words.write(text)
            words.flush()
            subprocess.run(['text2wave', '-o', path, words.name], check=True, capture_output=True)
        return
    subprocess.run(command, check=True, capture_output=True)


def at_rate(source, target):
    subprocess.run(['sox', '-D', source, '-r', str(RATE), '-c', '1', '-b', '16', target, 'norm', '-3'], check=True,
                   capture_output=True)
    return soundfile.info(target).duration


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('dir', type=pathlib.Path)
    parser.add_argument('--csm', default=str(ROOT / 'build/bin/csm'))
    parser.add_argument('--n', type=int, default=500)
    arguments = parser.parse_args()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    texts = sentences()
    makers = ['csm', 'csm', 'flite', 'espeak', 'festival']
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(arguments.n):
            maker, turn = makers[i % 5], i // 5
            target = arguments.dir / f'{i:03d}-{maker}.wav'
            if target.exists() and target.with_suffix('.txt').exists():
                continue
            first, n = turn + 50 * (i % 5), 1
            while True:
                text, words = (' '.join(parts) for parts in zip(*(texts[(first + k) % len(texts)] for k in range(n))))
                raw = f'{scratch}/raw.wav'
                synthesize(maker, text, i, arguments.csm, raw)
                if at_rate(raw, str(target)) >= SHORTEST:
                    break
                n += 1
                if n > 6:
                    sys.exit(f'{target}: {maker} speaks too shortly')
            target.with_suffix('.txt').write_text(words + '\n')


if __name__ == '__main__':
    main()
