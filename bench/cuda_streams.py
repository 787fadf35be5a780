# SPDX-License-Identifier: Apache-2.0
"""Many streams on one card: frames with the sampler's draws and sound, of csm-1b's shape.

    python bench/cuda_streams.py build/bin/csm                  # 1, 8, 64, 256, 512 streams
    python bench/cuda_streams.py build/bin/csm --minute 512     # a minute of speech of each

Random bfloat16 weights, 100 positions of a prompt. `csm bench` runs the scheduler that
users' generations run in; a frame is one of every stream: language model, draws repeated by
the sampler, Mimi, samples in the reader's memory. Of several streams it counts from one to the
next, since sound is made beside the next frame. Real time is 80 ms a frame. Printed for
each: median and 99 of 100, and seconds of speech made a second. 114 of those a second are
published for this shape on an H100. Draws: of one stream, by the thread that repeats them.
"""

import argparse
import json
import subprocess

PUBLISHED = 114  # speech-seconds a second, one H100


def run(args, streams, frames):
    command = [args.csm, "bench", "--random", "csm-1b", "--engine", args.engine, "--dtype", args.dtype,
               "--batch", str(streams), "--frames", str(frames), "--prompt", "100", "--json"]
    if args.without_sound:
        command.append("--without-sound")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    r = json.loads(done.stdout)
    print(f"{streams:8} {r['frames']:7} {r['frame_ms']:10.2f} {r['p99_ms']:10.2f} {r['depth_ms']:9.2f} "
          f"{r['draw_ms']:9.2f} {r['codec_ms']:9.2f} {r['sound_per_second']:12.1f} {r['sound_per_second'] / PUBLISHED:8.2f}",
          flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("csm")
    parser.add_argument("--engine", default="cuda")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--streams", default="1,8,64,256,512")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--minute", type=int, metavar="STREAMS", help="750 frames of so many, alone")
    parser.add_argument("--without-sound", action="store_true")
    args = parser.parse_args()
    print(f"{'streams':>8} {'frames':>7} {'frame ms':>10} {'p99 ms':>10} {'model ms':>9} {'draws ms':>9} {'sound ms':>9} "
          f"{'speech s/s':>12} {'of 114':>8}")
    if args.minute:
        run(args, args.minute, 750)
        return
    for streams in map(int, args.streams.split(",")):
        run(args, streams, args.frames)


if __name__ == "__main__":
    main()
