# SPDX-License-Identifier: Apache-2.0
"""Seconds of sound a second over a corpus, in turns: csm synth --batch, a csm generate for each text, and transformers'
generate over batches of the same size. All have one model: the embedded voice's shape, random float32 weights,
every item as long as the others, so that nobody waits for the longest. csm's times have its start and its files;
transformers' begin when the model is loaded, and nothing is written."""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import torch
import transformers
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[1]
VOICE = ROOT / "voice" / "model"
TEXTS = ["The boat came back at last.", "No, not today.", "My neighbour stood still in the dark.", "Come in, please.",
         "Her letter arrived before noon, after the rain.", "Who is it?", "It was late.", "A small dog made no sound."]




def random_model(folder):
    torch.manual_seed(0)
    config = json.loads((VOICE / "config.json").read_text())
    config["codec_config"]["codebook_size"] = 1024  # random weights draw every code, special ones too
    model = transformers.CsmForConditionalGeneration(transformers.CsmConfig(**config))
    model.save_pretrained(folder)
    for name in "tokenizer.json", "generation_config.json":
        shutil.copyfile(VOICE / name, folder / name)


def options(args):
    length = str(80 * args.frames)
    return ["--model-path", args.model, "--threads", str(args.threads), "--min-audio-length-ms", length,
            "--max-audio-length-ms", length, "--quiet"]


def run(*command):
    """Its warnings, that each item is as long as it may be, are what was asked for."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def synth(args, texts, folder):
    manifest = folder / "in.jsonl"
    manifest.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))
    run(args.csm, "synth", "--manifest", manifest, "--output-dir", folder / "out", "--batch", str(args.batch), *options(args))
    return sum(json.loads(line)["duration"] for line in (folder / "out" / "manifest.jsonl").open())


def loop(args, texts, folder):
    seconds = 0
    for i, text in enumerate(texts):
        file = folder / f"{i}.wav"
        run(args.csm, "generate", "--whole", "--text", text, "--seed", str(i), "--output", file, *options(args))
        seconds += (file.stat().st_size - 44) / 48000
    return seconds


class Transformers:
    def __init__(self, folder):
        self.model = transformers.CsmForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, args, texts, folder):
        del folder
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        seconds = 0
        for at in range(0, len(texts), args.batch):
            ids = [self.tokenizer.encode("[0]" + text).ids for text in texts[at:at + args.batch]]
            most = max(map(len, ids))
            sounds = self.model.generate(
                input_ids=torch.tensor([[0] * (most - len(i)) + i for i in ids]),
                attention_mask=torch.tensor([[0] * (most - len(i)) + [1] * len(i) for i in ids]),
                max_new_tokens=args.frames, do_sample=True, temperature=0.9, top_k=50, depth_decoder_do_sample=True,
                depth_decoder_temperature=0.9, depth_decoder_top_k=50, output_audio=True)
            seconds += sum(sound.shape[-1] for sound in sounds) / 24000
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csm", default=ROOT / "build" / "bin" / "csm")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--frames", type=int, default=25, help="of each item")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    texts = [TEXTS[i % len(TEXTS)] for i in range(args.items)]
    with tempfile.TemporaryDirectory() as place:
        args.model = pathlib.Path(place)
        random_model(args.model)
        ways = {"csm synth": synth, "csm generate, one by one": loop, "transformers": Transformers(args.model)}
        rates = {name: [] for name in ways}
        for _ in range(args.turns):
            for name, way in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    started = time.monotonic()
                    seconds = way(args, texts, pathlib.Path(folder))
                    rates[name].append(seconds / (time.monotonic() - started))
                assert abs(seconds - args.items * args.frames * 0.08) < 0.01, f"{name}: {seconds} s"
    print(f"{args.items} items, batches of {args.batch}, {args.threads} threads, median of {args.turns} turns")
    for name, got in rates.items():
        ratio = statistics.median(one / other for one, other in zip(rates["csm synth"], got))
        print(f"{name:26} {statistics.median(got):7.1f} s of sound a second; csm synth is {ratio:.2f} times that")


if __name__ == "__main__":
    main()
