# SPDX-License-Identifier: Apache-2.0
"""What a call of mlx_sample_exact costs, beside the library's own draw and PyTorch's sampler.

    python python/tests/bench_sample.py
"""

import time

import mlx.core as mx
import numpy as np
import torch
from test_sampling import sample_topk

import csm
from csm.cli.mlx_sample_exact import mlx_sample_exact


def median_us(call, rounds=300):
    for _ in range(20):
        call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


torch.set_num_threads(1)
for vocab in (2051, 128_256):
    row = np.random.default_rng(1).normal(size=(1, vocab)).astype(np.float32)
    arrays = {"numpy": row, "torch": torch.tensor(row), "mlx": mx.array(row),
              "mlx bfloat16": mx.array(row).astype(mx.bfloat16)}
    mx.eval(list(arrays.values())[2:])
    for name, array in arrays.items():
        print(f"{vocab:>7} {name:<14} {median_us(lambda: mlx_sample_exact(array, 50, 0.9)):8.1f} us")
    sampler = csm.Sampler("sesame", "torch-cpu", seed=1, temperature=0.9, top_k=50)
    print(f"{vocab:>7} {'the draw alone':<14} {median_us(lambda: sampler.draw(row)):8.1f} us")
    print(f"{vocab:>7} {'PyTorch':<14} "
          f"{median_us(lambda: sample_topk(arrays['torch'], 50, 0.9)):8.1f} us")
