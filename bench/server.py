#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""csm serve under load, on this machine, with any model.

    bench/server.py [--streams 1,8,32,64] [--requests N] [--real-time S] [-- OPTIONS OF csm serve]

Time to first byte (p50, p99) and seconds of sound a second at so many requests at once; so many
clients that read in real time for S seconds, and how many frames came late to any of them; and the
same texts, each another, said by csm generate behind a mutex, one process a text, in the same run: what a server
gets that locks one model. Standard library alone."""

import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import re
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CSM = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build")) / "bin" / "csm"
WORDS = """the a seven green old slow trees hills birds rain dogs trains runs sings falls waits under over while
because nobody knows why today softly again of and in that we they this""".split()
FRAME_BYTES, FRAME_S = 3840, 0.08
CLIENTS = 16  # of a process


def text(seed):
    """Twelve words, as long as a sentence of an assistant; each seed has its own."""
    words = random.Random(seed).choices(WORDS, k=12)
    return " ".join(words).capitalize() + "."


def begin(options):
    server = subprocess.Popen([CSM, "serve", "--port", "0", *options], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    found = re.search(r":(\d+)\n", server.stdout.readline())
    if not found:
        raise SystemExit("bench: csm serve did not start")
    return server, int(found[1])


def ask(port, seed, **fields):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    body = json.dumps({"input": text(seed), "response_format": "pcm", "seed": seed, **fields})
    connection.request("POST", "/v1/audio/speech", body)
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"bench: {response.status} {response.read()}")
    return connection, response


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]


def burst(port, n_streams, n_requests):
    """n_requests in all, n_streams at a time: seconds to each first byte, and of sound a second."""
    firsts, n_bytes, lock, seeds = [], [0], threading.Lock(), iter(range(n_requests))

    def client():
        while True:
            with lock:
                seed = next(seeds, None)
            if seed is None:
                return
            began = time.perf_counter()
            connection, response = ask(port, seed)
            response.read(1)
            first = time.perf_counter() - began
            n = 1 + len(response.read())
            connection.close()
            with lock:
                firsts.append(first)
                n_bytes[0] += n

    threads = [threading.Thread(target=client) for _ in range(n_streams)]
    began = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return firsts, n_bytes[0] / 48000 / (time.perf_counter() - began)


def real_time(port, n_streams, seconds):
    """Clients that need a frame each 80 ms from their first on: (late, frames, the latest in ms,
    {second of the run: late ones in it}). A text that ends is followed by the next. Some clients a
    process: threads of one Python wait for each other, 256 of them for longer than a frame."""
    with multiprocessing.Pool((n_streams + CLIENTS - 1) // CLIENTS) as pool:
        done = pool.starmap(real_time_some, [(port, range(first, min(first + CLIENTS, n_streams)), seconds)
                                             for first in range(0, n_streams, CLIENTS)], chunksize=1)
    late, frames, worst = zip(*done)
    seconds = [int(at) for some in late for at in some]
    return len(seconds), sum(frames), max(worst), {at: seconds.count(at) for at in sorted(set(seconds))}


def real_time_some(port, clients, seconds):
    late, frames, worst, lock = [], [0], [0.0], threading.Lock()
    start = time.perf_counter()
    end = start + seconds

    def client(i):
        seed = i * 1000
        while time.perf_counter() < end:
            connection, response = ask(port, seed, input=" ".join(text(3 * seed + k) for k in range(3)), guard=False)
            seed += 1
            n, began = 0, None
            while time.perf_counter() < end and response.read(FRAME_BYTES):
                now = time.perf_counter()
                began = began if began is not None else now
                n += 1
                behind = now - (began + (n - 1) * FRAME_S)
                with lock:
                    frames[0] += 1
                    if behind > 0.0005:
                        late.append(now - start)
                    worst[0] = max(worst[0], behind)
                if behind < 0:
                    time.sleep(-behind)
            connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return late, frames[0], worst[0] * 1e3


def mutexed(n, options):
    """Seconds of sound a second of csm generate, one after another."""
    sound, began = 0, time.perf_counter()
    for seed in range(n):
        done = subprocess.run([CSM, "generate", "--text", text(seed), "--seed", str(seed), "--output", "-",
                               "--format", "s16le", "--quiet", *options], capture_output=True, check=True)
        sound += len(done.stdout) / 48000
    return sound / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--streams", default="1,8,32,64")
    parser.add_argument("--requests", type=int, default=64, help="of each burst, at least one a stream")
    parser.add_argument("--real-time", type=float, default=60, metavar="S")
    parser.add_argument("--real-time-streams", default="64")
    parser.add_argument("--mutexed", type=int, default=16, help="texts for csm generate; 0: none")
    parser.add_argument("options", nargs="*", help="of csm serve, behind --")
    a = parser.parse_args()
    model = [o for i, o in enumerate(a.options) if "--model-path" in (o, a.options[i - 1] if i else "")]
    server, port = begin(["--no-mark", "--max-streams", "256", *a.options])
    try:
        burst(port, 2, 4)  # pages touched, code read
        best = 0
        for n in map(int, a.streams.split(",")):
            firsts, rate = burst(port, n, max(n, a.requests))
            best = max(best, rate)
            print(f"{n:4d} streams: first byte p50 {percentile(firsts, 0.5) * 1e3:7.1f} ms, "
                  f"p99 {percentile(firsts, 0.99) * 1e3:7.1f} ms; {rate:6.1f} s of sound a second", flush=True)
        for n in map(int, a.real_time_streams.split(",")) if a.real_time > 0 else []:
            late, frames, worst, when = real_time(port, n, a.real_time)
            print(f"{n:4d} clients in real time for {a.real_time:g} s: {late} of {frames} frames late, "
                  f"the latest by {worst:.1f} ms" + (f"; late in seconds {when}" if when else ""), flush=True)
        if a.mutexed > 0:
            alone = mutexed(a.mutexed, model)
            print(f"csm generate, one after another: {alone:.1f} s of sound a second; the server: "
                  f"{best / alone:.1f} times that")
    finally:
        server.terminate()
        server.wait(120)


if __name__ == "__main__":
    main()
