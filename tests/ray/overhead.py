# SPDX-License-Identifier: Apache-2.0
"""A corpus by three processes of csm synth and by Ray on three raylets, in turns, and once with a
raylet killed at a third. Prints Ray's overhead; exits with 1 where it is above 8 %, an item is missing
or a byte differs."""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from corpora import cluster, sounds, synth, texts, told, write

import csm.ray

MOST = 0.08


def by_processes(manifest, out):
    started = time.monotonic()
    synth(manifest, out, n_shards=3)
    return time.monotonic() - started


def by_ray(manifest, out):
    started = time.monotonic()
    spoken = csm.ray.synthesize(csm.ray.read_manifest(manifest), output_dir=out, concurrency=3)
    csm.ray.write_manifest(spoken, out / "manifest.jsonl")
    return time.monotonic() - started


def with_a_kill(manifest, out, n_items, kill):
    """The lines, in the order of their ids."""
    spoken = csm.ray.synthesize(csm.ray.read_manifest(manifest), output_dir=out, concurrency=3)
    lines = []
    for row in spoken.iter_rows():
        lines.append({k: v for k, v in row.items() if v is not None})
        if len(lines) == n_items // 3:
            kill()
    return sorted(lines, key=lambda line: line["id"])


def is_same(name, lines, out, whole_lines, whole):
    made = {n: d for n, d in sounds(out).items() if not n.endswith(".part")}
    same = lines == whole_lines and made == whole
    print(f"{name}: {len(lines)} items, {'every line and byte' if same else 'NOT'} those of csm synth alone", flush=True)
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="csm-ray-"))
    manifest = write(folder / "in.jsonl", texts(args.items))
    took = {by_processes: [], by_ray: []}
    with cluster(3) as (nodes, others):
        for turn in range(args.turns):
            for way, times in took.items():
                times.append(way(manifest, folder / f"{way.__name__}{turn}"))
                print(f"{way.__name__}: {times[-1]:.1f} s", flush=True)
        first = folder / "by_processes0"
        lines, whole = told(*first.glob("manifest-*.jsonl")), sounds(first)
        out = folder / "by_ray0"
        good = is_same("Ray", told(out / "manifest.jsonl"), out, lines, whole)
        out = folder / "killed"
        spoken = with_a_kill(manifest, out, args.items,
                             lambda: nodes.remove_node(others[0], allow_graceful=False))
        good &= is_same("a raylet killed at a third", spoken, out, lines, whole)
    shutil.rmtree(folder)
    overhead = statistics.median(r / p for r, p in zip(took[by_ray], took[by_processes])) - 1
    print(f"{args.items} items, {os.cpu_count()} cores: csm synth {statistics.median(took[by_processes]):.1f} s, "
          f"Ray {statistics.median(took[by_ray]):.1f} s, overhead {overhead:+.1%} (median of {args.turns} turns)")
    return 0 if good and overhead <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
