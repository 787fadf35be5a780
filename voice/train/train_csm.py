# SPDX-License-Identifier: Apache-2.0
"""Train a CSM from nothing on encoded speech, which may still be growing.

    train_csm.py --codes DIR --sentences sentences.txt.gz --out csm.pt --seconds 400

One cosine of the learning rate to zero over `--seconds`. Saved every minute with all that a run
killed at any time needs to go on: the same command again does so. `--start` begins a new one with
the weights of another.
"""
import argparse
import dataclasses
import math
import pathlib
import time

import torch
from torch import nn

from csm import Csm, CsmConfig, csm_loss
from segments import Batches, Utterances, read_sentences

WARMUP_STEPS = 300
SAVE_SECONDS = 60


def schedule(progress, step):
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(0.01, 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def optimizer_for(model, rate, weight_decay, cuda):
    """AdamW; matrices decay, norms do not."""
    groups = [{'params': [p for p in model.parameters() if p.requires_grad and p.ndim >= 2], 'weight_decay': weight_decay},
              {'params': [p for p in model.parameters() if p.requires_grad and p.ndim < 2], 'weight_decay': 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=cuda)


def to_device(batch, device):
    text, codes, conversation, learn = (t.to(device, non_blocking=True) for t in batch)
    return text.long(), codes.long(), conversation, learn


@torch.no_grad()
def validate(model, batches, device, autocast):
    """Mean losses over the batches, without noise: (codebook 0, the others, accuracy)"""
    model.eval()
    totals = [torch.stack([loss, others.mean(), right])
              for batch in batches
              for loss, others, right in [loss_under(autocast, csm_loss, model, *to_device(batch, device), 2048)]]
    model.train()
    return torch.stack(totals).mean(0).tolist()


def loss_under(autocast, function, *args):
    with autocast():
        return function(*args)


def compile_ahead(loss_function, model, args, device, autocast):
    """One step on an empty batch, so that compiling is over before the data is there."""
    shape = args.rows, args.time
    blank = [torch.full(shape, -1, dtype=torch.int32),
             torch.full((*shape, model.config.num_codebooks), -1, dtype=torch.int16),
             torch.full(shape, -1, dtype=torch.int16), torch.ones(shape, dtype=torch.bool)]
    loss, others, _ = loss_under(autocast, loss_function, model, *to_device(blank, device),
                                 args.depth_frames, args.noise)
    (loss + others.mean()).backward()
    model.zero_grad(set_to_none=True)


def save(path, model, optimizer, step, seconds):
    unfinished = path.with_suffix('.part')
    torch.save({'config': dataclasses.asdict(model.config), 'weights': model.state_dict(),
                'optimizer': optimizer.state_dict(), 'steps': step, 'seconds': seconds}, unfinished)
    unfinished.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--codes', type=pathlib.Path, required=True, help='directory of encode.py')
    parser.add_argument('--sentences', type=pathlib.Path, required=True)
    parser.add_argument('--start', type=pathlib.Path, help='a saved model to begin with')
    parser.add_argument('--out', type=pathlib.Path, required=True, help='saved here; what is there goes on')
    parser.add_argument('--seconds', type=float, default=400)
    parser.add_argument('--first-hours', type=float, default=10, help='codes to wait for before the first step')
    parser.add_argument('--rows', type=int, default=84, help='rows a step')
    parser.add_argument('--time', type=int, default=384, help='positions a row')
    parser.add_argument('--depth-frames', type=int, default=8192, help='frames a step that train the depth decoder')
    parser.add_argument('--rate', type=float, default=1.5e-3)
    parser.add_argument('--weight-decay', type=float, default=0.1)
    parser.add_argument('--noise', type=float, default=0.06, help='share of random codes among the known ones')
    parser.add_argument('--dropout', type=float, default=0.1)
    parser.add_argument('--workers', type=int, default=4, help='processes that make batches')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--log-steps', type=int, default=500)
    parser.add_argument('--seed', type=int, default=3)
    args = parser.parse_args()

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=device == 'cuda')

    model = Csm(CsmConfig())
    model.initialize()
    earlier = torch.load(args.out, map_location='cpu', weights_only=True) if args.out.exists() else {}
    if earlier or args.start:
        start = earlier or torch.load(args.start, map_location='cpu', weights_only=True)
        model.load_state_dict(start['weights'])
    model.set_dropout(args.dropout)
    model.to(device)
    optimizer = optimizer_for(model, args.rate, args.weight_decay, device == 'cuda')
    if earlier:
        optimizer.load_state_dict(earlier['optimizer'])
    step, trained = earlier.get('steps', 0), earlier.get('seconds', 0.0)
    loss_function = torch.compile(csm_loss, dynamic=False) if args.compile else csm_loss
    if args.compile:
        compile_ahead(loss_function, model, args, device, autocast)
        print('compiled', flush=True)

    texts = read_sentences(args.sentences)
    while (hours := Utterances(args.codes, texts).hours) < args.first_hours:
        time.sleep(0.5)
    print(f'{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M weights; {hours:.1f} h to begin with', flush=True)
    validation = iter(Batches(args.codes, texts, min(args.rows, 16), args.time, held_out=True, seed=args.seed))
    validation = [next(validation) for _ in range(2)]
    workers = min(args.workers, len(list(args.codes.glob('*.npz'))))        # each needs a file to begin with
    loader = torch.utils.data.DataLoader(
        Batches(args.codes, texts, args.rows, args.time, seed=args.seed + step), batch_size=None,
        num_workers=workers, pin_memory=device == 'cuda', prefetch_factor=8 if workers else None)

    noted = saved = time.time()
    began = noted - trained
    noted_step, logged = step, []
    for batch in loader:
        progress = (time.time() - began) / args.seconds
        if progress >= 1:
            break
        step += 1
        for group in optimizer.param_groups:
            group['lr'] = args.rate * schedule(progress, step)
        loss, others, right = loss_under(autocast, loss_function, model, *to_device(batch, device),
                                         args.depth_frames, args.noise)
        optimizer.zero_grad(set_to_none=True)
        (loss + others.mean()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        logged.append(torch.stack([loss, others.mean(), right]).detach())
        if step % args.log_steps == 0:
            values, logged = torch.stack(logged).mean(0).tolist(), []
            now = time.time()
            line = 'step {} {:.0f} s {:.1f} ms: codebook 0 {:.3f}, others {:.3f}, right {:.3f}'.format(
                step, now - began, 1000 * (now - noted) / (step - noted_step), *values)
            if step % (4 * args.log_steps) == 0:
                line += '; validation {:.3f} {:.3f} {:.3f}'.format(*validate(model, validation, device, autocast))
            print(line, flush=True)
            if not all(map(math.isfinite, values)):
                raise SystemExit('train_csm: the loss is not finite')
            if now - saved > SAVE_SECONDS:
                save(args.out, model, optimizer, step, now - began)
                saved = now
            noted, noted_step = time.time(), step
    save(args.out, model, optimizer, step, time.time() - began)
    print('{}: {} steps; validation {:.3f} {:.3f} {:.3f}'.format(
        args.out, step, *validate(model, validation, device, autocast)), flush=True)


if __name__ == '__main__':
    main()
