# SPDX-License-Identifier: Apache-2.0
"""What the strategies cost on the CPU, milliseconds a frame, in turns:

    .venv/bin/python bench/strategies.py build/bin/csm [--threads 1] [--frames 40] [--turns 3]

exact against pure on MLX, and hybrid against transformers' own generate, in float32, on
csm-a (the tests' small model) and on the embedded voice. Both models never end their
speech here, so that every run draws the same number of frames. Needs torch, transformers,
mlx, and both engines.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from transformers_frames import Reference, endless_golden, silence_the_end  # noqa: E402

TEXT = "Hello from Sesame. It's 2025, isn't it?"


def embedded_voice(target):
    subprocess.run([sys.executable, ROOT / "voice" / "unpack.py", ROOT / "voice" / "model", target],
                   check=True)
    silence_the_end(target)
    return target


def csm_ms(csm, model, n_frames, n_threads, *choices):
    """Milliseconds a frame after the first, without sound."""
    out = subprocess.run([csm, "generate", "--text", TEXT, "--model-path", model, "--output", "none",
                          "--dtype", "f32", "--max-audio-length-ms", str(80 * n_frames), "--json",
                          "--threads", str(n_threads), *choices], check=True, capture_output=True)
    report = json.loads(out.stdout)
    assert report["frames"] == n_frames, report
    t = report["timings_ms"]
    return (t["total"] - t["first_frame"]) / (n_frames - 1)


def transformers_ms(reference, n_frames):
    inputs = reference.prompt(TEXT, 0, [])
    settings = dict(do_sample=True, temperature=0.9, top_k=50, depth_decoder_do_sample=True,
                    depth_decoder_temperature=0.9, depth_decoder_top_k=50)
    seconds = []
    for n in 1, n_frames:
        torch.manual_seed(0)
        start = time.perf_counter()
        codes = reference.model.generate(**inputs, max_new_tokens=n, **settings)
        seconds.append(time.perf_counter() - start)
        assert codes.shape[1] == n
    return 1e3 * (seconds[1] - seconds[0]) / (n_frames - 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("csm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["mlx", "torch"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory() as scratch:
        models = {"csm-a": endless_golden(pathlib.Path(scratch) / "csm-a"),
                  "embedded voice": embedded_voice(pathlib.Path(scratch) / "voice")}
        for name, model in models.items():
            def mlx(strategy):
                return csm_ms(args.csm, model, args.frames, args.threads, "--engine", "mlx",
                              "--strategy", strategy)

            runs = {}
            if args.only != "torch":
                runs |= {"pure on mlx": lambda: mlx("pure"), "exact on mlx": lambda: mlx("exact")}
            if args.only != "mlx":
                reference = Reference(model, "f32")
                runs |= {"transformers": lambda: transformers_ms(reference, args.frames),
                         "hybrid": lambda: csm_ms(args.csm, model, args.frames, args.threads,
                                                  "--pytorch-tokens")}
            ms = {run: [] for run in runs}
            for _ in range(args.turns):
                for run, measure in runs.items():
                    ms[run].append(measure())
            print(f"{name}: ms a frame, median and best of {args.turns} turns, {args.frames} frames, "
                  f"{args.threads} threads for PyTorch, float32")
            for run, times in ms.items():
                print(f"  {run:14} {statistics.median(times):8.2f} {min(times):8.2f}")


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
