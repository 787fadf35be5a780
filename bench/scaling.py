# SPDX-License-Identifier: Apache-2.0
"""How a frame's time and the memory grow: docs/speed/scaling.csv, and two pictures of it.

    python bench/scaling.py [--csm build/bin/csm] [PART ...]      (needs matplotlib)

Parts: threads (each dtype on one thread and on two), q4, bf16 (that dtype over the length), plot.
Without any, all of them. Each row is written when it is known, and what the table has of this commit
is not measured again: a run that was cut short goes on where it ended. csm-1b's shape, random
weights, Mimi included: csm bench --random csm-1b.
"""

import argparse
import csv
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "docs/speed"
DTYPES = "f32", "bf16", "q8", "q4"
LENGTHS = 32, 256, 512, 1024, 2000  # positions of the prompt; the model has 2048
COLUMNS = ("part dtype threads prompt frame_ms backbone_ms depth_ms draw_ms codec_ms floor_ms "
           "read_gb_s prompt_ms rss_mb commit").split()
PARTS = {"threads": [(dtype, n, 32) for dtype in DTYPES for n in (1, 2)],
         "q4": [("q4", 2, n) for n in LENGTHS], "bf16": [("bf16", 2, n) for n in LENGTHS]}


def read_rows():
    path = OUT / "scaling.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def key(row):
    return row["part"], row["dtype"], int(row["threads"]), int(row["prompt"])


def write_row(row):
    """In the place of the one with the same key."""
    rows = {key(old): old for old in read_rows()} | {key(row): row}
    keys = [(part, *which) for part in PARTS for which in PARTS[part]]
    with (OUT / "scaling.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[k] for k in keys if k in rows)


def measure(part, csm):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.strip()
    known = {key(row) for row in read_rows() if row["commit"] == commit}
    for dtype, threads, prompt in PARTS[part]:
        if (part, dtype, threads, prompt) in known:
            continue
        argv = [csm, "bench", "--random", "csm-1b", "--dtype", dtype, "--threads", str(threads),
                "--prompt", str(prompt), "--frames", "10", "--json"]
        line = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        row = line | {"part": part, "commit": commit}
        print(*(f"{name} {row[name]}" for name in COLUMNS[:5]), flush=True)
        write_row({name: row[name] for name in COLUMNS})


def points(rows, column, **which):
    return [float(row[column]) for row in rows if all(row[k] == v for k, v in which.items())]


def plot_threads(plt, rows):
    figure, axes = plt.subplots(figsize=(6.4, 3))
    for i, dtype in enumerate(DTYPES):
        for threads, shift, colour in ("1", 0.17, "C1"), ("2", -0.17, "C0"):
            which = {"part": "threads", "dtype": dtype, "threads": threads}
            for ms, floor in zip(points(rows, "frame_ms", **which), points(rows, "floor_ms", **which)):
                label = None if i else f"{threads} thread" + "s" * (threads == "2")
                axes.barh(i + shift, ms, 0.3, color=colour, label=label)
                axes.plot([floor, floor], [i + shift - 0.15, i + shift + 0.15], "k",
                          label=None if i or threads == "1" else "the memory's floor")
    axes.axvline(80, color="grey", linestyle=":", label="real time")
    axes.set(xlabel="ms a frame, Mimi included", yticks=range(len(DTYPES)),
             yticklabels=DTYPES)
    axes.legend(fontsize="small")
    return figure


def plot_length(plt, rows):
    figure, (time, memory) = plt.subplots(1, 2, figsize=(8, 3))
    for part in "bf16", "q4":
        x = points(rows, "prompt", part=part)
        line, = time.plot(x, points(rows, "frame_ms", part=part), "o-", label=f"{part}, frame")
        time.plot(x, points(rows, "floor_ms", part=part), "--", color=line.get_color(),
                  label=f"{part}, floor of the weights")
        memory.plot(x, [mb / 1e3 for mb in points(rows, "rss_mb", part=part)], "o-", label=part)
    time.set(xlabel="positions", ylabel="ms a frame", ylim=(0, None))
    memory.set(xlabel="positions", ylabel="resident GB", ylim=(0, None))
    time.legend(fontsize="small")
    memory.legend(fontsize="small")
    return figure


def plot(rows):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "csm", "svg.fonttype": "none"}  # same rows, same file
    import matplotlib.pyplot as plt
    for name, draw in ("threads", plot_threads), ("length", plot_length):
        figure = draw(plt, rows)
        figure.tight_layout()
        figure.savefig(OUT / f"{name}.svg", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "plot", []])
    parser.add_argument("--csm", default=ROOT / "build/bin/csm")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for part in options.parts or [*PARTS, "plot"]:
        if part == "plot":
            plot(read_rows())
        else:
            measure(part, options.csm)


main()
