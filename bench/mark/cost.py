# SPDX-License-Identifier: Apache-2.0
"""What the mark costs beside the frames that it marks, on one core.

    bench/mark/cost.py CLIP.wav [--turns 5] [--csm build/bin/csm] [--library build/lib/libcsm.so]

In turns: the embedded voice's frames (csm bench, one thread: median and best), and the marking of the clip
(24 kHz), 200 times. Prints medians and bests over all turns, us for 80 ms, and the mark's share.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FRAME = 1920


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('clip')
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--csm', default=ROOT / 'build/bin/csm')
    parser.add_argument('--library', default=ROOT / 'build/lib/libcsm.so')
    arguments = parser.parse_args()
    os.environ['CSM_LIBRARY'] = str(arguments.library)
    import library
    import soundfile
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    samples = soundfile.read(arguments.clip, dtype='float32')[0]
    marked, mark = samples.copy(), library.begin('mark')
    bench = [arguments.csm, 'bench', '--model-path', ROOT / 'voice/model', '--threads', '1', '--frames', '200', '--json']
    frames, bests, marks = [], [], []
    for _ in range(arguments.turns):
        told = json.loads(subprocess.run(bench, check=True, capture_output=True).stdout)
        frames.append(1e3 * told['frame_ms'])
        bests.append(1e3 * told['best_ms'])
        for _ in range(200):
            start = time.perf_counter()
            library.library.csm_mark_push(mark, samples, len(samples), marked)
            marks.append(1e6 * (time.perf_counter() - start) * FRAME / len(samples))
    library.library.csm_mark_close(mark)
    frame, best, mark, best_mark = statistics.median(frames), min(bests), statistics.median(marks), min(marks)
    print(f'frame: median {frame:.0f} us, best {best:.0f}; mark: median {mark:.1f} us, best {best_mark:.1f}: '
          f'{100 * mark / frame:.2f} % of the median, {100 * best_mark / best:.2f} % of the best')


if __name__ == '__main__':
    main()
