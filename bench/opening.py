# SPDX-License-Identifier: Apache-2.0
"""How long a model takes to open, in turns: one file, several programs or with and without an adapter.

    python3 bench/opening.py MODEL CSM [CSM ...] [--adapter DIR] [--turns N] [-- OPTION ...]

Each turn runs every CSM (a build's bin/csm) once: `csm generate --json` of one frame, from a page cache
that was filled before. With --adapter, each CSM runs twice in a turn, without and with it. Options
after -- go to each run. Printed: the median and the best of the milliseconds from the command's first
look at the model to ready, the median until the first sound is there, and the most memory that was
resident; then how many times longer the first of them takes than each other.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile


def fill_page_cache(folder):
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def run(program, model, options):
    with tempfile.TemporaryDirectory() as scratch:
        command = [program, "generate", "--model-path", model, "--text", "a", "--seed", "1",
                   "--max-audio-length-ms", "80", "--output", f"{scratch}/a.wav", "--json", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: {error.decode()}")
    timings = json.loads(out)["timings_ms"]
    return timings["open"], timings["open"] + timings["first_sound"], usage.ru_maxrss / 1024


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("model")
    parser.add_argument("csm", nargs="+")
    parser.add_argument("--adapter")
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args(arguments)
    variants = []
    for program in asked.csm:
        variants.append((program, []))
        if asked.adapter:
            variants.append((program, ["--adapter", asked.adapter]))
    fill_page_cache(asked.model)
    seen = [[] for _ in variants]
    for _ in range(asked.turns):
        for i, (program, more) in enumerate(variants):
            seen[i].append(run(program, asked.model, options + more))
    print(f"{'open ms':>10} {'best':>8} {'to sound':>9} {'MB':>7} {'first / this':>13}")
    first = statistics.median(run[0] for run in seen[0])
    for (program, more), runs in zip(variants, seen):
        opened, sounded, _ = (statistics.median(column) for column in zip(*runs))
        best, most = min(run[0] for run in runs), max(run[2] for run in runs)
        print(f"{opened:10.0f} {best:8.0f} {sounded:9.0f} {most:7.0f} {first / opened:13.2f}"
              f"  {program} {' '.join(more)}")


main()
