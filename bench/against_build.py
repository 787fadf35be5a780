#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""This build beside another one (of 5a054a5, say), in turns: the embedded voice's sentence and
its first sound, a frame of csm-1b's shape, and eight sentences at once.

    bench/against_build.py OTHER/bin/csm [--csm build/bin/csm] [--rounds 15] [--dtype q4]
                           [--skip-shape]

Medians, and the ratio of this build over the other. Each program is called by `--json` alone."""
import argparse
import json
import statistics
import subprocess
import tempfile

TEXT = "The train to the coast leaves at nine, and nobody has seen the tickets since Monday."


def say(csm, folder):
    """A sentence of the embedded voice: the times of its report, in milliseconds."""
    command = [csm, "generate", "--text", TEXT, "--seed", "5", "--output", f"{folder}/a.wav", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["timings_ms"]


def bench(csm, *options):
    command = [csm, "bench", "--json", "--without-sound", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def in_turns(programs, rounds, call):
    """call's results, a list for each program; who begins changes from round to round."""
    found = {program: [] for program in programs}
    for i in range(rounds):
        for program in programs if i % 2 == 0 else reversed(programs):
            found[program].append(call(program))
    return [found[program] for program in programs]


def row(what, other, this, key):
    a, b = (statistics.median(report[key] for report in reports) for reports in (other, this))
    print(f"| {what} | {a:.2f} ms | {b:.2f} ms | {b / a:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other")
    parser.add_argument("--csm", default="build/bin/csm")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtype", default="q4")
    parser.add_argument("--skip-shape", action="store_true", help="the embedded voice alone")
    args = parser.parse_args()
    programs = [args.other, args.csm]
    print(f"| what | {args.other} | {args.csm} | ratio |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        other, this = in_turns(programs, args.rounds, lambda csm: say(csm, folder))
    row("a sentence of the embedded voice, all of it", other, this, "total")
    row("its first sound", other, this, "first_sound")
    voice = ("--model-path", "voice/model", "--frames", "60")
    other, this = in_turns(programs, args.rounds, lambda csm: bench(csm, *voice))
    row("a frame of the embedded voice, without the codec", other, this, "frame_ms")
    row("its prompt of 32 positions and first frame", other, this, "first_audio_ms")
    if args.skip_shape:
        return
    few = max(2, args.rounds // 5)
    other, this = in_turns(programs, few, lambda csm: bench(csm, "--dtype", args.dtype, "--frames", "14"))
    row(f"csm-1b's shape, {args.dtype}, a frame", other, this, "frame_ms")
    other, this = in_turns(programs, few, lambda csm: bench(csm, "--dtype", args.dtype, "--batch", "8", "--frames", "6"))
    row(f"csm-1b's shape, {args.dtype}, a frame of eight", other, this, "frame_ms")


if __name__ == "__main__":
    main()
