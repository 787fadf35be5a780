# SPDX-License-Identifier: Apache-2.0
"""What a call of mlx_sample_exact costs, beside the library's own draw and PyTorch's sampler; and
what importing csm costs.

    python bench/sampling_from_python.py
"""

import statistics
import subprocess
import sys
import time

import mlx.core as mx
import numpy as np
import torch
from sampling_against_torch import sesame

import csm
from csm.cli.mlx_sample_exact import mlx_sample_exact

IMPORT = ("import time; a = time.perf_counter(); import csm; b = time.perf_counter(); csm.Model; "
          "print(b - a, time.perf_counter() - b)")


def medians_us(calls, rounds=300):
    """The calls in turns, so that a slow moment is everybody's; 20 rounds warm up."""
    times = {name: [] for name in calls}
    for i in range(20 + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if i >= 20:
                times[name].append((time.perf_counter() - start) * 1e6)
    return {name: statistics.median(column) for name, column in times.items()}


def main():
    torch.set_num_threads(1)
    for vocab in (2051, 128_256):
        row = np.random.default_rng(1).normal(size=(1, vocab)).astype(np.float32)
        of_torch, of_mlx = torch.tensor(row), mx.array(row)
        half = of_mlx.astype(mx.bfloat16)
        mx.eval(of_mlx, half)
        sampler = csm.Sampler("sesame", "torch-cpu", seed=1, temperature=0.9, top_k=50)
        halves = csm.Sampler("sesame", "torch-cpu", dtype="bf16", seed=1, temperature=0.9, top_k=50)
        calls = {"the library's draw": lambda: sampler.draw(row),
                 "numpy": lambda: mlx_sample_exact(row, 50, 0.9),
                 "torch": lambda: mlx_sample_exact(of_torch, 50, 0.9),
                 "mlx": lambda: mlx_sample_exact(of_mlx, 50, 0.9),
                 "the library's draw, bf16": lambda: halves.draw(row),
                 "mlx bfloat16": lambda: mlx_sample_exact(half, 50, 0.9),
                 "PyTorch's sample_topk": lambda: sesame(of_torch, 50, 0.9)}
        for name, us in medians_us(calls).items():
            print(f"{vocab:>7}  {name:<26} {us:8.1f} us")
    runs = [subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True,
                           check=True).stdout.split() for _ in range(7)]
    alone, with_numpy = (statistics.median(float(run[i]) for run in runs) * 1e3 for i in (0, 1))
    print(f"import csm {alone:.1f} ms; NumPy, when csm.Model is first named: {with_numpy:.1f} ms more")


if __name__ == "__main__":
    main()
