# SPDX-License-Identifier: Apache-2.0
"""bench_codec beside transformers' MimiModel of the same shape, random weights, in turns.

    .venv/bin/python bench/codec_against_transformers.py build/bin/bench_codec [THREADS]

transformers decodes each call by itself, without the past that a stream has; its
figure for one frame a call is that of a decoder that forgets."""
import statistics
import subprocess
import sys
import time

import torch
from transformers import MimiConfig, MimiModel

program = sys.argv[1]
threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
torch.set_num_threads(threads)
torch.manual_seed(0)
model = MimiModel(MimiConfig()).eval()
buffer = torch.ones(32 << 20)  # 128 MB: what no cache holds

for turn in range(2):
    print(subprocess.run([program, str(threads)], check=True, text=True,
                         stdout=subprocess.PIPE).stdout.split("  codebooks")[0], end="")
    for n_frames in (32, 1):
        codes = torch.randint(0, 2048, (1, 32, n_frames))
        times = []
        with torch.inference_mode():
            for call in range(13):
                buffer.sum()
                start = time.perf_counter()
                model.decode(codes)
                times.append((time.perf_counter() - start) * 1e3 / n_frames)
        print(f"transformers, {n_frames:2} frames a call: {statistics.median(times[3:]):6.2f} ms a "
              f"frame, best {min(times[3:]):.2f}")
