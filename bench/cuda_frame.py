# SPDX-License-Identifier: Apache-2.0
"""A frame of csm on a GPU next to transformers in the same run: ms, median and best.

    .venv/bin/python bench/cuda_frame.py build/bin/csm               # csm-1b's shape, bfloat16
    .venv/bin/python bench/cuda_frame.py build/bin/csm --device cpu --shape tiny --engines torch

Random weights, written once to a directory (4 GB; --keep DIR keeps it). In turns: csm's
engines cuda (exact) and torch (hybrid), or those of --engines, and transformers eager; then
transformers with static caches, compiled (GPU); then csm in long speech, and in float32.
--csm-only leaves out transformers. Frames without sound. Codes are not compared
here: tests/reference/test_hybrid.py does, on the CPU, and test_hybrid_cuda.py beside it.
Needs torch and transformers; --device cuda: a CUDA build of torch of the version that csm
was built with.
"""

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
from transformers.generation.streamers import BaseStreamer

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden" / "csm-a"
TEXT = "Hello from Sesame. It's 2025, isn't it?"
SETTINGS = dict(do_sample=True, temperature=0.9, top_k=50, depth_decoder_do_sample=True,
                depth_decoder_temperature=0.9, depth_decoder_top_k=50)
# layers, width, heads, kv heads, head_dim, hidden
SHAPES = {"csm-1b": {"backbone": (16, 2048, 32, 8, 64, 8192), "depth": (4, 1024, 8, 2, 128, 8192),
                     "codebooks": 32, "vocab": 2051},
          "tiny": {"backbone": (2, 128, 4, 2, 32, 256), "depth": (2, 64, 2, 1, 32, 128),
                   "codebooks": 8, "vocab": 1027}}


def random_checkpoint(target, shape, device):
    """csm-a's configuration, texts and codec around random weights of that shape, which
    never end their speech."""
    config = json.loads((GOLDEN / "config.json").read_text())
    inner = config["depth_decoder_config"]
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads",
             "head_dim", "intermediate_size")
    for part, sizes in (config, shape["backbone"]), (inner, shape["depth"]):
        part.update(zip(names, sizes), num_codebooks=shape["codebooks"],
                    vocab_size=shape["vocab"], dtype="bfloat16")
    inner["backbone_hidden_size"] = shape["backbone"][1]
    config["tie_word_embeddings"] = False  # what transformers 5.17 asks for
    if shape["codebooks"] > 8:  # csm-a's codec has 8: csm-1b's codes are not decoded here
        config["codec_config"]["num_quantizers"] = shape["codebooks"]
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.CsmForConditionalGeneration(transformers.CsmConfig(**config))
    model = model.bfloat16()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not name.startswith("codec_model."):
                p.normal_(0, 0.02).add_(float(p.dim() == 1))
        model.lm_head.weight[0] = 0
        model.depth_decoder.codebooks_head.weight[:, :, 0] = 0
    model.save_pretrained(target)
    for name in "tokenizer.json", "generation_config.json":
        shutil.copyfile(GOLDEN / name, target / name)


STRATEGIES = {"torch": "hybrid", "cuda": "exact"}


def inputs_of(model_dir, device):
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(model_dir / "tokenizer.json")).encode("[0]" + TEXT).ids
    ids = torch.tensor([ids], device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class Clock(BaseStreamer):
    """The time at which each frame is handed over."""

    def __init__(self):
        self.at = []

    def put(self, value):
        value.cpu()  # waits for the device
        self.at.append(time.perf_counter())

    def end(self):
        pass


def between(times):
    return [1e3 * (b - a) for a, b in zip(times, times[1:])]


def transformers_ms(model, inputs, n_frames, **settings):
    clock = Clock()
    model.generate(**inputs, **SETTINGS, max_new_tokens=n_frames, streamer=clock, **settings)
    return between(clock.at[1:])  # the first is the prompt's


def csm_total_ms(csm, model_dir, device, engine, dtype, n_frames):
    """From the text to the last of n frames, by csm's own clock."""
    done = subprocess.run([csm, "generate", "--text", TEXT, "--model-path", model_dir, "--output",
                           "none", "--strategy", STRATEGIES[engine], "--engine", engine,
                           "--device", device, "--dtype", dtype,
                           "--seed", "1", "--max-audio-length-ms", str(80 * n_frames), "--json"],
                          stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["frames"] == n_frames, result
    return result["timings_ms"]


def csm_ms(csm, model_dir, device, engine, dtype, first, last, n_rounds):
    """The mean of the frames between the two numbers, n_rounds times: what a longer run takes
    more. The prompt and the recording of graphs are in both. Then the parts of the last round."""
    rounds = []
    for _ in range(n_rounds):
        longer, shorter = (csm_total_ms(csm, model_dir, device, engine, dtype, n) for n in (last, first))
        rounds.append({part: (longer[part] - shorter[part]) / (last - first) for part in longer})
    return [r["total"] for r in rounds], rounds[-1]


def show(name, ms, beside=""):
    print(f"{name:44} {statistics.median(ms):8.2f} {min(ms):8.2f}{beside}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("csm")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=SHAPES, default="csm-1b")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--keep", type=pathlib.Path, help="keep the checkpoint here, or use it")
    parser.add_argument("--csm-only", action="store_true", help="leave out transformers")
    parser.add_argument("--engines", default="cuda,torch", help="of csm")
    parser.add_argument("--short", action="store_true", help="one run of each, without long speech and float32")
    args = parser.parse_args()
    engines = args.engines.split(",")
    if not set(engines) <= set(STRATEGIES):
        parser.error(f"--engines: '{args.engines}', expected cuda, torch or both")

    with tempfile.TemporaryDirectory() as scratch:
        directory = args.keep or pathlib.Path(scratch) / "model"
        if not (directory / "config.json").exists():
            random_checkpoint(directory, SHAPES[args.shape], args.device)
        device = torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device
        print(f"{args.shape}'s shape, random bfloat16 weights, {args.frames} frames, {device}, "
              f"torch {torch.__version__}, transformers {transformers.__version__}")
        print(f"{'ms a frame':44} {'median':>8} {'best':>8}")
        run = args.csm, directory, args.device
        if args.csm_only:
            show_csm(run, engines, n_rounds=1 if args.short else 3)
        else:
            beside_transformers(run, engines, args.frames, 1 if args.short else 2)
        if not args.short:
            show_csm(run, engines, first=100, last=1500)
            show_csm(run, engines, dtype="f32")


def show_csm(run, engines, dtype="bf16", first=30, last=130, n_rounds=3):
    for engine in engines:
        ms, parts = csm_ms(*run, engine, dtype, first, last, n_rounds)
        show(f"csm, engine {engine}, {dtype}, frames {first} to {last:,}", ms,
             "  of it " + ", ".join(f"{part} {parts[part]:.2f}" for part in ("backbone", "depth", "draw")))


def beside_transformers(run, engines, n_frames, n_rounds):
    _, directory, device = run
    model = transformers.CsmForConditionalGeneration.from_pretrained(
        directory, dtype=torch.bfloat16).to(device).eval()
    inputs = inputs_of(directory, device)
    for _ in range(n_rounds):
        show_csm(run, engines, n_rounds=3 if n_rounds > 1 else 1)
        show("transformers, eager, bf16", transformers_ms(model, inputs, n_frames)[2:])
    model.generation_config.cache_implementation = "static"
    model.depth_decoder.generation_config.cache_implementation = "static"
    transformers_ms(model, inputs, 6)  # compiles
    # transformers compiles a static cache's steps by itself, but not on the CPU
    compiled = ", compiled" if device != "cpu" else ""
    show(f"transformers, static cache{compiled}, bf16",
         transformers_ms(model, inputs, n_frames)[2:])


if __name__ == "__main__":
    main()
