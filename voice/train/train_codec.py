# SPDX-License-Identifier: Apache-2.0
"""Train the codec on spoken shards.

    train_codec.py --speech DIR --out codec.pt --seconds 300
    train_codec.py --speech DIR --start codec.pt --out codec.pt --seconds 180

The first form trains all of it: the spectral distance, the commitment of the quantizer, and a
phone classifier over the first codebook, which makes that codebook phonetic. It ends with frozen
codebooks. The second form keeps encoder and codebooks, so codes made with them stay good, and
improves the decoder alone, with a discriminator. In both a listener, which learns to hear phones
in the original sound, has to hear them in the codec's too. Each ends after `--seconds` of training.
"""
import argparse
import math
import pathlib
import time

import torch
import torch.nn.functional as F
from torch import nn

from codec import Codec, CodecConfig, PHONES_PER_FRAME, load_codec, save_codec
from discriminator import Discriminator, discriminator_loss, generator_losses
from flite import PHONES
from listener import Listener, misheard
from sound import MelDistance
from speech import SpeechPool

SPECTRUM_WEIGHT, COMMITMENT_WEIGHT, PHONE_WEIGHT, LISTENER_WEIGHT = 15.0, 0.5, 1.0, 1.0
FOOLING_WEIGHT, FEATURE_WEIGHT = 0.5, 1.5           # mild: the spectrum decides
WARMUP_STEPS = 300
CLIP_NORM = 5.0


def schedule(progress, step):
    """The learning rate's factor: warm up, hold for half of the time, then a cosine to a twentieth."""
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, 2 * progress - 1)))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.05 + 0.95 * fall)


class Trainer:
    """One training step over fixed buffers, so that CUDA can replay it as a graph."""

    def __init__(self, args, codec, device):
        self.args, self.codec, self.cuda = args, codec, device == 'cuda'
        self.sound = torch.zeros(args.clips, args.frames * 1920, device=device)
        self.phones = torch.zeros(args.clips, args.frames * PHONES_PER_FRAME, dtype=torch.long, device=device)
        self.distance = MelDistance().to(device)
        self.listener = Listener().to(device)
        self.decoder_only = args.start is not None
        self.log = {}
        if self.decoder_only:
            learning = nn.ModuleList([codec.upsample, codec.decoder_transformer, codec.decoder])
            self.discriminator = Discriminator().to(device, memory_format=torch.channels_last)
            self.discriminator_rate = self._rate(device)
            self.discriminator_optimizer = self._optimizer(self.discriminator, self.discriminator_rate)
        else:
            self.classifier = nn.Sequential(nn.Linear(codec.config.hidden_size, 256), nn.GELU(),
                                            nn.Linear(256, PHONES_PER_FRAME * len(PHONES))).to(device)
            learning = nn.ModuleList([codec, self.classifier])
        self.parameters = list(learning.parameters())
        self.rate = self._rate(device)
        self.optimizer = self._optimizer(learning, self.rate)
        self.listener_optimizer = self._optimizer(self.listener, self.rate)
        compiled = torch.compile if args.compile else lambda f, **_: f
        self.encode_latents = compiled(codec.encode_latents, dynamic=False)
        self.decode_latents = compiled(codec.decode_latents, dynamic=False)

    def _rate(self, device):
        return torch.tensor(self.args.rate, device=device)

    def _optimizer(self, module, rate):
        faster = dict(fused=True, capturable=True) if self.cuda else {}
        return torch.optim.AdamW(module.parameters(), lr=rate, betas=(0.8, 0.98), weight_decay=1e-3, **faster)

    def set_rate(self, factor):
        self.rate.fill_(self.args.rate * factor)
        if self.decoder_only:
            self.discriminator_rate.fill_(0.5 * self.args.rate * factor)

    def autocast(self):
        return torch.autocast('cuda' if self.cuda else 'cpu', torch.bfloat16, enabled=self.cuda,
                              cache_enabled=False)

    def _update(self, optimizer, parameters, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()

    def _note(self, **values):
        for name, value in values.items():
            self.log.setdefault(name, torch.zeros((), device=self.sound.device)).copy_(value.detach())

    def step(self):
        if self.decoder_only:
            self._step_decoder()
        else:
            self._step_whole()

    def _misheard(self, sound):
        """What the listener, after a step on the original, gets wrong in `sound`."""
        with self.autocast():
            heard = misheard(self.listener(self.sound), self.phones)
        self._update(self.listener_optimizer, list(self.listener.parameters()), heard)
        self.listener.requires_grad_(False)
        with self.autocast():
            loss = misheard(self.listener(sound), self.phones)
        self.listener.requires_grad_(True)
        self._note(heard=heard, misheard=loss)
        return loss

    def _step_whole(self):
        with self.autocast():
            latents = self.encode_latents(self.sound)
            _, quantized, commitment, semantic = self.codec.quantize(latents, learn=True)
            sound = self.decode_latents(quantized)
            guesses = self.classifier(semantic)
        guesses = guesses.float().view(*self.phones.shape, -1).transpose(1, 2)
        phone_loss = F.cross_entropy(guesses, self.phones)
        spectral = self.distance(sound.float(), self.sound)
        self._update(self.optimizer, self.parameters, SPECTRUM_WEIGHT * spectral + COMMITMENT_WEIGHT * commitment
                     + PHONE_WEIGHT * phone_loss + LISTENER_WEIGHT * self._misheard(sound))
        right = (guesses.argmax(1) == self.phones).float().mean()
        self._note(mel=self.distance.last, commitment=commitment, phone_loss=phone_loss, phones_right=right)

    def _step_decoder(self):
        judged_from = 2 * self.sound.shape[1] // 3       # the discriminator judges the last third
        with self.autocast():
            with torch.no_grad():
                quantized = self.codec.quantize(self.encode_latents(self.sound))[1]
            sound = self.decode_latents(quantized).float()
            theirs, ours = self.sound[:, judged_from:], sound[:, judged_from:]
            judged = discriminator_loss(self.discriminator(theirs), self.discriminator(ours.detach()))
        self._update(self.discriminator_optimizer, list(self.discriminator.parameters()), judged)
        self.discriminator.requires_grad_(False)
        with self.autocast():
            with torch.no_grad():
                real = self.discriminator(theirs)
            fooled, matched = generator_losses(real, self.discriminator(ours))
        spectral = self.distance(sound, self.sound)
        self._update(self.optimizer, self.parameters, SPECTRUM_WEIGHT * spectral + FOOLING_WEIGHT * fooled
                     + FEATURE_WEIGHT * matched + LISTENER_WEIGHT * self._misheard(sound))
        self.discriminator.requires_grad_(True)
        self._note(mel=self.distance.last, judged=judged, fooled=fooled, matched=matched)

    def capture(self):
        """The step as a CUDA graph; the step itself elsewhere."""
        if not self.cuda:
            return self.step
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(4):
                self.step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--speech', type=pathlib.Path, required=True, help='directory of shards')
    parser.add_argument('--start', type=pathlib.Path, help='a trained codec: improve its decoder alone')
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--seconds', type=float, default=300, help='training ends after so long')
    parser.add_argument('--clips', type=int, default=24, help='clips a step')
    parser.add_argument('--frames', type=int, default=24, help='frames a clip')
    parser.add_argument('--rate', type=float, default=5e-4, help='learning rate')
    parser.add_argument('--hours', type=float, default=20, help='speech kept in memory at most')
    parser.add_argument('--first-hours', type=float, default=1, help='speech to wait for before the first step')
    parser.add_argument('--compile', action='store_true', help='compile the convolutions (a minute; then faster)')
    parser.add_argument('--log-steps', type=int, default=500)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    pool = SpeechPool(args.speech, device, args.hours)
    while pool.hours < args.first_hours:
        time.sleep(0.2)
        pool.grow()
    codec = load_codec(args.start, device) if args.start else Codec(CodecConfig()).to(device)
    if not args.start:
        codec.initialize(pool.batch(args.clips, args.frames)[0])
    trainer = Trainer(args, codec, device)

    def load():
        sound, phones = pool.batch(args.clips, args.frames)
        trainer.sound.copy_(sound)
        trainer.phones.copy_(phones)

    load()
    began = time.time()
    run = trainer.capture()
    print(f'{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M weights; first step after '
          f'{time.time() - began:.1f} s', flush=True)
    began = noted = time.time()
    step = noted_step = 0
    while (progress := (time.time() - began) / args.seconds) < 1:
        if step % 10 == 0:
            trainer.set_rate(schedule(progress, step))
        load()
        run()
        step += 1
        if step % 50 == 0:
            pool.grow()
        if step % args.log_steps == 0:
            values = {name: round(float(value), 4) for name, value in trainer.log.items()}
            now = time.time()
            print(f'step {step} {now - began:.0f} s {1000 * (now - noted) / (step - noted_step):.1f} ms '
                  f'{pool.hours:.1f} h {values}', flush=True)
            noted, noted_step = now, step
            if not all(map(math.isfinite, values.values())):
                raise SystemExit('train_codec: the loss is not finite')
    if not args.start:
        codec.freeze_codebooks()
    save_codec(codec, args.out, steps=step)
    print(f'{args.out}: {step} steps', flush=True)


if __name__ == '__main__':
    main()
