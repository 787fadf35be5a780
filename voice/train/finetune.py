# SPDX-License-Identifier: Apache-2.0
"""Teach a CSM a voice from clips: a table of sound files with their texts.

    finetune.py --model DIR --clips clips.tsv --out DIR [--lora 16 | --full]

DIR is a model of transformers' layout (csm-1b as published, or export.py's). clips.tsv has one
clip a line: sound file, tab, text, and if wanted tab, speaker (0). The loss is csm_loss(), the
one that train_csm.py uses. LoRA trains two thin matrices beside each projection and adds them to
it in the end; --full trains everything. The codec stays. The best model by validation is kept.
"""
import argparse
import csv
import json
import math
import pathlib
import shutil

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.utils import parametrize

from csm import CODE_TABLE, CODE_TABLE_OF_DEPTH, Csm, csm_loss, read_tensors
from segments import Row, Turn, stack
from sound import Resampler
from train_csm import loss_under, optimizer_for, to_device

RATE, FRAME = 24000, 1920
ADAPTED = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')


class LowRank(nn.Module):
    """weight -> weight + scale * up @ down; up begins as zeros"""

    def __init__(self, weight, rank, scale=2.0):
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = scale

    def forward(self, weight):
        return weight + self.scale * (self.up @ self.down).to(weight.dtype)


def projections(model):
    return [module for name, module in model.named_modules() if name.rsplit('.', 1)[-1] in ADAPTED]


def add_lora(model, rank):
    model.requires_grad_(False)
    for linear in projections(model):
        parametrize.register_parametrization(linear, 'weight', LowRank(linear.weight, rank))


def merge_lora(model):
    for linear in projections(model):
        if parametrize.is_parametrized(linear):
            parametrize.remove_parametrizations(linear, 'weight')


def read_clips(path):
    """[(sound file, text, speaker)]"""
    with open(path, newline='') as f:
        lines = [line for line in csv.reader(f, delimiter='\t', quoting=csv.QUOTE_NONE) if line]
    for line in lines:
        if len(line) not in (2, 3):
            raise SystemExit(f'{path}: expected sound file, tab, text[, tab, speaker]: {line}')
    return [(path.parent / line[0], line[1], int(line[2]) if len(line) == 3 else 0) for line in lines]


def read_sound(path):
    sound, rate = soundfile.read(path, dtype='float32', always_2d=True)
    sound = torch.from_numpy(sound.mean(1))[None]
    common = math.gcd(rate, RATE)
    if rate != RATE:
        sound = Resampler(RATE // common, rate // common)(sound)
    return F.pad(sound, (0, -sound.shape[1] % FRAME))[0]


@torch.no_grad()
def encode_clips(directory, clips, device):
    """The clips as turns of a conversation, with transformers' codec and tokenizers"""
    from transformers import MimiConfig, MimiModel
    config = json.loads((directory / 'config.json').read_text())
    codec = MimiModel.from_pretrained(
        None, config=MimiConfig(**config['codec_config']),
        state_dict={k.removeprefix('codec_model.'): v.float() for k, v in read_tensors(directory).items()
                    if k.startswith('codec_model.')}).to(device).eval()
    tokenizer = Tokenizer.from_file(str(directory / 'tokenizer.json'))
    turns = []
    for path, text, speaker in clips:
        codes = codec.encode(read_sound(path)[None, None].to(device), num_quantizers=config['num_codebooks']).audio_codes
        turns.append(Turn(tokenizer.encode(f'[{speaker}]{text}').ids, codes[0].T.short().cpu().numpy()))
    return turns


def batches(turns, n_rows, rng):
    """Each turn once, alone in its conversation; rows as long as the longest turn"""
    time = max(map(len, turns))
    rows = []
    for i in rng.permutation(len(turns)):
        fitting = [row for row in rows if row.room() >= len(turns[i])]
        if not fitting:
            fitting = [Row(time, turns[i].codes.shape[1])]
            rows += fitting
        fitting[0].add([turns[i]])
    return [stack(rows[k:k + n_rows]) for k in range(0, len(rows), n_rows)]


def mean_loss(model, turns, args, device, autocast):
    model.eval()
    total = 0.0
    with torch.no_grad():
        made = batches(turns, args.rows, np.random.default_rng(0))
        for batch in made:
            loss, others, _ = loss_under(autocast, csm_loss, model, *to_device(batch, device), 10 ** 6)
            total += float(loss + others.mean())
    model.train()
    return total / len(made)


def train(model, turns, args, device):
    """Returns the best state by validation loss"""
    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=device == 'cuda')

    n_held_out = max(1, len(turns) // 10)
    held_out, turns = turns[:n_held_out], turns[n_held_out:]
    optimizer = optimizer_for(model, args.rate, 0.01, device == 'cuda')
    rng = np.random.default_rng(args.seed)
    best = first = mean_loss(model, held_out, args, device, autocast)
    best_state = {k: v.clone() for k, v in model.state_dict().items()}
    print(f'before: validation {first:.3f}', flush=True)
    for epoch in range(args.epochs):
        for group in optimizer.param_groups:
            group['lr'] = args.rate * 0.5 * (1 + math.cos(math.pi * epoch / args.epochs))
        losses = []
        for batch in batches(turns, args.rows, rng):
            n_frames = int(batch[3].sum())
            loss, others, _ = loss_under(autocast, csm_loss, model, *to_device(batch, device),
                                         max(1, n_frames // args.amortize))
            optimizer.zero_grad(set_to_none=True)
            (loss + others.mean()).backward()
            nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
            optimizer.step()
            losses.append(float(loss.detach() + others.detach().mean()))
        now = mean_loss(model, held_out, args, device, autocast)
        print(f'epoch {epoch + 1}: {np.mean(losses):.3f}, validation {now:.3f}', flush=True)
        if now < best:
            best, best_state = now, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)


def save(model, source, out):
    """The source directory with the new weights, in its own dtypes"""
    out.mkdir(parents=True, exist_ok=True)
    tensors, trained = read_tensors(source), model.state_dict()
    trained.setdefault(CODE_TABLE_OF_DEPTH, trained[CODE_TABLE])
    for name in tensors:
        if name in trained:
            tensors[name] = trained[name].to(tensors[name].dtype).cpu().contiguous()
    save_file(tensors, out / 'model.safetensors', {'format': 'pt'})
    for path in source.glob('*.json'):
        if not path.name.endswith('.index.json'):
            shutil.copy(path, out / path.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--model', type=pathlib.Path, required=True)
    parser.add_argument('--clips', type=pathlib.Path, required=True)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--lora', type=int, default=16, metavar='RANK')
    how.add_argument('--full', action='store_true')
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--rows', type=int, default=8, help='rows a step')
    parser.add_argument('--rate', type=float, help='learning rate (LoRA 1e-3, full 5e-5)')
    parser.add_argument('--amortize', type=int, default=1,
                        help='train the depth decoder on one frame of so many (16 for csm-1b)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    args.rate = args.rate or (5e-5 if args.full else 1e-3)

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(args.seed)
    turns = encode_clips(args.model, read_clips(args.clips), device)
    if len(turns) < 2:
        raise SystemExit(f'{args.clips}: two clips at least: one is kept to validate by')
    model = Csm.from_directory(args.model)
    if not args.full:
        add_lora(model, args.lora)
    model.to(device)
    n = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f'{len(turns)} clips, {n / 1e6:.2f} M weights to train', flush=True)
    train(model, turns, args, device)
    merge_lora(model)
    save(model, args.model, args.out)


if __name__ == '__main__':
    main()
