# SPDX-License-Identifier: Apache-2.0
"""The products of csm-1b's shape by cuBLAS, which sums in the order that suits it: what engine cuda's own order
costs beside it (docs/ENGINES.md).

  python bench/cuda_products.py [LANES]...    (default: 64 256 512; needs torch and an NVIDIA card)

For each matrix the median microseconds of one product, of bfloat16, in a graph of 2 to 24 of them over 300 MB of
weights in turn: with a row for each lane, and with two, as many as engine cuda has planes of activations.
"""

import statistics
import sys

import torch

SHAPES = {
    "depth qkv": (1536, 1024),
    "depth out": (1024, 1024),
    "depth gate+up": (16384, 1024),
    "depth down": (1024, 8192),
    "head": (2064, 1024),
    "backbone qkv": (3072, 2048),
    "backbone out": (2048, 2048),
    "backbone gate+up": (16384, 2048),
    "backbone down": (2048, 8192),
}


def microseconds(out_rows: int, cols: int, n: int) -> float:
    count = max(2, min(24, int(3e8 / (out_rows * cols * 2))))
    options = {"device": "cuda", "dtype": torch.bfloat16}
    weights = [torch.randn(out_rows, cols, **options) for _ in range(count)]
    x, y = torch.randn(n, cols, **options), torch.empty(n, out_rows, **options)
    for weight in weights[:3]:
        torch.mm(x, weight.t(), out=y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for weight in weights:
            torch.mm(x, weight.t(), out=y)
    times = []
    for _ in range(6):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / count)
    return statistics.median(times)


def main() -> None:
    for lanes in [int(a) for a in sys.argv[1:]] or [64, 256, 512]:
        for rows_each in (1, 2):
            times = [f"{name} {microseconds(*shape, lanes * rows_each):.1f}" for name, shape in SHAPES.items()]
            print(f"{lanes} lanes, rows each {rows_each}: " + ", ".join(times), flush=True)


if __name__ == "__main__":
    main()
