# SPDX-License-Identifier: Apache-2.0
"""Judge the embedded voice over held-out sentences, against flite's own audio of the same ones.

    voice/evaluate [--model DIR]              with our engine
    voice/evaluate --engine transformers      with transformers

Word error rates by pocketsphinx, of flite, of the codec's copy of flite's audio, and of the voice;
how many clips end by themselves and have about the reference's length; whose voice they are by
mean MFCC; and whether audio in the context carries its voice over. In each seed every sentence is
spoken by the next speaker. voice/evaluate installs what this needs, and builds.
"""
import argparse
import collections
import functools
import json
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import soundfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / 'train')]

RATE, ASR_RATE = 24000, 16000
LONGEST_MS = 16000
RATIO = 0.7, 1.4                    # of the reference's length
CLONES = 24                         # clips whose context has another speaker's voice

Clip = collections.namedtuple('Clip', 'kind sentence speaker seed voice', defaults=[None])


def held_out():
    """[(text, words that are spoken)]"""
    lines = [line.split('|') for line in (HERE / 'heldout.txt').read_text().splitlines() if line.strip()]
    return [(parts[0].strip(), words(parts[-1])) for parts in lines]


def words(text):
    return re.sub(r"[^a-z' ]", ' ', text.lower()).split()


def word_errors(reference, heard):
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def resample(samples, up, down):
    import torch
    from sound import Resampler
    return Resampler(up, down)(torch.from_numpy(np.asarray(samples, np.float32))[None])[0].numpy()


def mean_mfcc(samples):
    """Mean of 13 MFCCs (without the first) over the loud frames, 24 kHz sound"""
    import torch
    from sound import mel_filters
    n = 1024
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, n)), n)[::n // 4] * np.hanning(n)
    power = np.log(np.abs(np.fft.rfft(frames)) ** 2 @ mel_filters(RATE, n, 40, 7600).numpy() + 1e-6)
    loud = power[power.mean(1) > power.mean(1).max() - 6]
    k = np.arange(1, 14)[:, None] * (np.arange(40) + 0.5) * np.pi / 40
    return (loud @ np.cos(k).T / 40).mean(0)


@functools.cache
def recognizer():
    from pocketsphinx import Decoder
    return Decoder(samprate=ASR_RATE, loglevel='FATAL')


def recognize(samples):
    """24 kHz sound -> words"""
    quiet = np.zeros(ASR_RATE // 5)
    heard = np.concatenate([quiet, resample(samples, 2, 3), quiet])
    heard = (heard / max(1e-4, np.abs(heard).max()) * 0.7 * 32767).astype(np.int16)
    decoder = recognizer()
    decoder.start_utt()
    decoder.process_raw(heard.tobytes(), full_utt=True)
    decoder.end_utt()
    return words(decoder.hyp().hypstr) if decoder.hyp() else []


# Who speaks: each takes the arguments of the command line first

@functools.cache
def synthesizer(directory):
    from flite import Flite
    return Flite(directory)


def flite_says(args, text, speaker):
    from flite import SPEAKERS
    samples, _ = synthesizer(args.flite).speak(text, speaker)
    return np.clip(resample(samples * (SPEAKERS[speaker][1] / 32768), 3, 2), -1, 1)


def command(*arguments):
    csm = pathlib.Path(os.environ.get('CSM_BUILD_DIR', HERE.parent / 'build')) / 'bin' / 'csm'
    subprocess.run([csm, *map(str, arguments)], check=True)


def csm_says(args, text, speaker, seed, context):
    with tempfile.TemporaryDirectory() as directory:
        wav = f'{directory}/out.wav'
        earlier = []
        if context:
            soundfile.write(f'{directory}/context.wav', context[1], RATE)
            earlier = ['--context-audio', f'{directory}/context.wav', '--context-text', context[0],
                       '--context-speaker', speaker]
        command('generate', '--text', text, '--speaker', speaker, '--seed', seed, '--output', wav, '--quiet',
                '--temperature', args.temperature, '--topk', args.top_k, '--threads', 1,
                '--max-audio-length-ms', LONGEST_MS, '--model-path', args.model, *earlier)
        return soundfile.read(wav, dtype='float32')[0]


def csm_copies(args, samples):
    with tempfile.TemporaryDirectory() as directory:
        soundfile.write(f'{directory}/in.wav', samples, RATE)
        codes, model = f'{directory}/codes.safetensors', ['--model-path', args.model, '--threads', 1]
        command('codec', 'encode', f'{directory}/in.wav', codes, *model)
        command('codec', 'decode', codes, f'{directory}/out.wav', *model)
        return soundfile.read(f'{directory}/out.wav', dtype='float32')[0]


def unpack_for_transformers(packed, directory):
    """The packed voice as a directory that transformers opens."""
    import export
    import unpack
    unpack.main(packed, directory)
    tokenizer_config = json.dumps(export.tokenizer_config_json())
    (pathlib.Path(directory) / 'tokenizer_config.json').write_text(tokenizer_config)


@functools.cache
def transformers_model(directory):
    import torch
    from transformers import AutoTokenizer, CsmForConditionalGeneration
    torch.set_num_threads(1)
    model = CsmForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(directory)


def transformers_codes(directory, text, speaker, seed, context=None, most_frames=LONGEST_MS // 80, **sampling):
    """What transformers draws: codes [frames, codebooks], without the frame that ends speech"""
    import torch
    model, tokenizer = transformers_model(directory)
    torch.manual_seed(seed)
    ids = tokenizer(f'[{speaker}]{text}')['input_ids']
    embedded = model.embed_text_tokens(torch.tensor([ids]))
    if context:
        codes = model.codec_model.encode(torch.from_numpy(context[1]).float()[None, None]).audio_codes.transpose(1, 2)
        codes = torch.cat([codes, torch.zeros_like(codes[:, :1])], 1)
        before = tokenizer(f'[{speaker}]{context[0]}', return_tensors='pt')['input_ids']
        embedded = torch.cat([model.embed_text_tokens(before), model.backbone_model.embed_tokens(codes), embedded], 1)
    codes = model.generate(inputs_embeds=embedded, max_new_tokens=most_frames, **sampling,
                           **{f'depth_decoder_{name}': value for name, value in sampling.items()})[0]
    ended = (codes == 0).all(-1).nonzero()
    return codes[:ended[0, 0]] if len(ended) else codes


def transformers_sound(directory, codes):
    """codes [frames, codebooks] -> 24 kHz samples"""
    model, _ = transformers_model(directory)
    return model.codec_model.decode(codes.T[None]).audio_values[0, 0].detach().numpy()


def transformers_says(args, text, speaker, seed, context):
    codes = transformers_codes(args.model, text, speaker, seed, context, temperature=args.temperature,
                               top_k=args.top_k, do_sample=True)
    return transformers_sound(args.model, codes) if len(codes) else np.zeros(1920, np.float32)


def transformers_copies(args, samples):
    import torch
    model, _ = transformers_model(args.model)
    samples = np.pad(samples, (0, -len(samples) % 1920)).astype(np.float32)
    codes = model.codec_model.encode(torch.from_numpy(samples)[None, None]).audio_codes
    return transformers_sound(args.model, codes[0].T)


ENGINES = {'csm': (csm_says, csm_copies), 'transformers': (transformers_says, transformers_copies)}


def judge(args, clip):
    """Make one clip and measure it."""
    text, spoken = held_out()[clip.sentence]
    says, copies = ENGINES[args.engine]
    if clip.kind == 'flite':
        samples = flite_says(args, text, clip.speaker)
    elif clip.kind == 'codec':
        samples = copies(args, flite_says(args, text, clip.speaker))
    else:
        context = None
        if clip.kind == 'clone':
            earlier = held_out()[clip.sentence - 1][0]
            context = earlier, flite_says(args, earlier, clip.voice)
        samples = says(args, text, clip.speaker, clip.seed, context)
    if args.clips:
        name = f'{clip.sentence:03d}-{clip.kind}-speaker{clip.speaker}-seed{clip.seed}.wav'
        soundfile.write(args.clips / name, samples, RATE)
    heard = recognize(samples) if clip.kind != 'clone' else []
    return clip, dict(errors=word_errors(spoken, heard), words=len(spoken), heard=' '.join(heard),
                      seconds=len(samples) / RATE, mfcc=mean_mfcc(samples))


def word_error_rate(results, kind, speaker=None):
    chosen = [r for c, r in results.items() if c.kind == kind and speaker in (None, c.speaker)]
    return 100 * sum(r['errors'] for r in chosen) / max(1, sum(r['words'] for r in chosen))


def report(results, n_speakers):
    figures, spoken = {}, [c for c in results if c.kind == 'voice']
    for kind in 'flite', 'codec', 'voice':
        figures[f'word errors {kind} %'] = round(word_error_rate(results, kind), 1)
        figures[f'word errors {kind} by speaker %'] = [round(word_error_rate(results, kind, s), 1)
                                                       for s in range(n_speakers)]
    ratios = [results[c]['seconds'] / results[c._replace(kind='flite', seed=0)]['seconds'] for c in spoken]
    figures['ends by itself %'] = 100 * np.mean([results[c]['seconds'] < LONGEST_MS / 1000 - 0.1 for c in spoken])
    figures['length about right %'] = 100 * np.mean([RATIO[0] <= r <= RATIO[1] for r in ratios])
    figures['mean length ratio'] = np.mean(ratios)
    # nearest of the speakers' means, each coefficient in units of its spread
    own = {s: np.stack([r['mfcc'] for c, r in results.items() if c.kind == 'flite' and c.speaker == s])
           for s in range(n_speakers)}
    spread = np.concatenate([m - m.mean(0) for m in own.values()]).std(0)

    def nearest(clip):
        distance = [np.linalg.norm((results[clip]['mfcc'] - own[s].mean(0)) / spread) for s in range(n_speakers)]
        return int(np.argmin(distance))

    figures['speaker identified %'] = 100 * np.mean([nearest(c) == c.speaker for c in spoken])
    clones = [c for c in results if c.kind == 'clone']
    if clones:
        figures["the context's voice carried over %"] = 100 * np.mean([nearest(c) == c.voice for c in clones])
    return {name: round(float(f), 2) if np.isscalar(f) else f for name, f in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--engine', choices=ENGINES, default='csm')
    parser.add_argument('--model', type=pathlib.Path, default=HERE / 'model')
    parser.add_argument('--flite', type=pathlib.Path, help="directory of flite's libraries, if not installed")
    parser.add_argument('--sentences', type=int, default=100)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--temperature', type=float, default=0.9)
    parser.add_argument('--top-k', type=int, default=50)
    parser.add_argument('--speaker', type=int, help='this speaker alone, instead of all in turn')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--clips', type=pathlib.Path, help='keep the clips in this directory')
    parser.add_argument('--json', type=pathlib.Path, help='write the figures, and what was heard')
    args = parser.parse_args()
    if args.clips:
        args.clips.mkdir(parents=True, exist_ok=True)

    if args.engine == 'transformers' and not (args.model / 'tokenizer_config.json').exists():
        unpacked = tempfile.TemporaryDirectory()            # lives as long as this
        unpack_for_transformers(args.model, unpacked.name)
        args.model = unpacked.name

    from flite import SPEAKERS
    n = len(SPEAKERS)
    clips = set()
    for seed in range(args.seeds):
        for i in range(min(args.sentences, len(held_out()))):
            speaker = (i + seed) % n if args.speaker is None else args.speaker
            clips |= {Clip('flite', i, speaker, 0), Clip('codec', i, speaker, 0), Clip('voice', i, speaker, seed)}
    for i in range(1, min(args.sentences, CLONES + 1)):
        clips.add(Clip('clone', i, i % n, 0, (i + 1 + i // n % (n - 1)) % n))
    with multiprocessing.Pool(args.jobs) as pool:
        results = dict(pool.imap_unordered(functools.partial(judge, args), sorted(clips, key=str)))
    figures = report(results, n)
    for name, figure in figures.items():
        print(f'{name:40} {figure}')
    if args.json:
        heard = [{**c._asdict(), 'heard': r['heard'], 'errors': r['errors'], 'seconds': r['seconds']}
                 for c, r in sorted(results.items(), key=str)]
        args.json.write_text(json.dumps({'figures': figures, 'clips': heard}, indent=1) + '\n')


if __name__ == '__main__':
    main()
