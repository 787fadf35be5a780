# SPDX-License-Identifier: Apache-2.0
"""One exact draw of csm against PyTorch's own sampler on the same core, in turns.

    taskset -c 0 python bench/sampling_against_torch.py build/bin/bench_sampling
"""

import statistics
import subprocess
import sys
import time

import torch

torch.set_num_threads(1)
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def sesame(x, k, t):
    x = x / t
    x = x.masked_fill(x < torch.topk(x, k)[0][..., -1, None], -float("inf"))
    probs = torch.softmax(torch.log_softmax(x, dim=-1), dim=-1)
    return torch.argmax(probs / torch.empty_like(probs).exponential_(1), dim=-1)


def transformers(x, k, t):
    x = x.to(torch.float32) / t
    x = x.masked_fill(x < torch.topk(x, k)[0][..., -1, None], -float("inf"))
    return torch.multinomial(torch.softmax(x, dim=-1), num_samples=1)


def of_torch(fn, dtype, n=300):
    x = (torch.randn(1, 2051) * 2.3).to(DTYPES[dtype])
    begin = time.perf_counter()
    for _ in range(n):
        fn(x, 50, 0.9)
    return (time.perf_counter() - begin) / n * 1e6


def of_csm(program):
    lines = subprocess.run([program, "300"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {(r[0], r[2]): float(r[4]) for r in rows if r[1] == "torch-cpu" and r[3] == "50"}


def main():
    times = {}
    for turn in range(6):
        csm = of_csm(sys.argv[1])
        for fn in (sesame, transformers):
            for dtype in DTYPES:
                pair = of_torch(fn, dtype), csm[fn.__name__, dtype]
                if turn > 0:  # the first warms up
                    times.setdefault((fn.__name__, dtype), []).append(pair)
    for key, pairs in times.items():
        theirs, ours = (statistics.median(column) for column in zip(*pairs))
        print(f"{key[0]:13} {key[1]:5} torch {theirs:7.1f} us  csm {ours:6.2f} us  "
              f"{theirs / ours:5.1f} times less")


if __name__ == "__main__":
    main()
