#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What csm serve gives with one card and with two: on cards, or its host alone on a machine that has none.

    bench/paced/two_cards.py MODEL [--device cuda] [--streams N] [--seconds S] [--turns N] [--old CSM]

MODEL: a directory of bench/peers/random_checkpoint.py, with --narrow for cards that are none. Those are
paced_engine.c's (cmake --build build --target bench_paced_engine). N clients a card ask for one speech
after another and read as fast as it comes. Said are, of one card and of two in turns: seconds of sound a second; the
processor time of the server, in cores, of its loop's thread and of the busiest others, with the time for
which these waited for a core; --perf: where the loop's thread had its time. --old: another build's csm, in
turns with this one's."""

import argparse
import json
import multiprocessing
import os
import pathlib
import re
import selectors
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))
TICKS = os.sysconf("SC_CLK_TCK")
WARM_S = 3  # until all streams speak, each at a place of its own


def begin(csm, a, n_cards, options):
    environment = {**os.environ, "CSM_PACED_SLOWER": str(a.slower)}
    if a.device == "paced":
        environment["CSM_ENGINE_DIR"] = str(BUILD / "bench/paced")
    command = [csm, "serve", "--model-path", a.model, "--engine", "cuda", "--port", "0", "--max-streams", "4096",
               "--device", ",".join(f"{a.device}:{i}" for i in range(n_cards)), *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    found = re.search(r":(\d+)\n", server.stdout.readline())
    if not found:
        raise SystemExit("bench: csm serve did not start")
    return server, int(found[1])


def request(a, seed, n_frames):
    body = json.dumps({"input": "Say what you will.", "seed": seed, "guard": False, "temperature": a.temperature,
                       "depth_temperature": a.temperature, "max_new_tokens": n_frames,
                       "response_format": a.format, "stream_format": "audio"})
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def ask(waiting, port, a, seed):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(request(a, seed, a.frames + seed * 7 % a.frames))
    waiting.register(s, selectors.EVENT_READ)


def clients(port, a, n, since, until):
    """n of them; gives the bytes that came between the two times."""
    waiting, seed, n_bytes = selectors.DefaultSelector(), 0, 0
    for seed in range(n):
        ask(waiting, port, a, seed)
    while (now := time.time()) < until:
        for key, _ in waiting.select(0.1):
            got = len(key.fileobj.recv(1 << 18))
            n_bytes += got if now >= since else 0
            if got == 0:
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                seed += 1
                ask(waiting, port, a, seed)
    return n_bytes


def bytes_of_frame(port, a):
    s, n = socket.create_connection(("127.0.0.1", port)), 0
    s.sendall(request(a, 0, a.frames))
    while got := len(s.recv(1 << 18)):
        n += got
    return n / a.frames


def times_of(pid):
    """{thread: seconds (on a processor, waiting for one)}."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            ran, waited = (task / "schedstat").read_text().split()[:2]
            times[int(task.name)] = int(ran) / 1e9, int(waited) / 1e9
        except OSError:
            pass  # it has ended
    return times


def cores_of(pid):
    """Seconds of all its threads, those that have ended, too."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def perf(pid, seconds):
    data = "/tmp/csm-loop.perf"
    subprocess.run(["perf", "record", "-q", "-t", str(pid), "-o", data, "--", "sleep", str(seconds)], check=True,
                   stderr=subprocess.DEVNULL)
    said = subprocess.run(["perf", "report", "-i", data, "--stdio", "-g", "none", "--percent-limit", "1.5", "-F",
                           "overhead,dso,symbol"], capture_output=True, text=True, check=True).stdout
    print("".join(f"      {line}\n" for line in said.splitlines() if line.strip() and not line.startswith("#")), end="")


def measure(name, csm, a, n_cards, options):
    server, port = begin(csm, a, n_cards, options)
    try:
        a_frame = bytes_of_frame(port, a)
        since = time.time() + WARM_S
        n, until = n_cards * a.processes, since + a.seconds
        with multiprocessing.Pool(n) as pool:
            counts = pool.starmap_async(clients, [(port, a, a.streams // a.processes, since, until)] * n, chunksize=1)
            time.sleep(since - time.time())
            before, spent = times_of(server.pid), cores_of(server.pid)
            if a.perf:
                perf(server.pid, a.seconds)
            time.sleep(max(0, until - time.time()))
            after, spent = times_of(server.pid), cores_of(server.pid) - spent
            frames = sum(counts.get()) / a_frame
    finally:
        server.kill()
        server.wait()
    busy = {t: [(x - y) / a.seconds for x, y in zip(now, before.get(t, (0, 0)))] for t, now in after.items()}
    loop, _ = busy.pop(server.pid)
    rate = frames * 0.08 / a.seconds
    others = ", ".join(f"{ran:.2f} + {waited:.2f}" for ran, waited in sorted(busy.values(), reverse=True)[:4])
    print(f"{name} {n_cards} x {a.streams} streams: {rate:6.1f} s of sound a second; {spent / a.seconds:5.2f} cores, "
          f"the loop {loop:.2f} ({loop * a.seconds / max(frames, 1) * 1e6:.0f} us a frame); the busiest others, "
          f"and waiting for a core: {others}", flush=True)
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--device", choices=["paced", "cuda"], default="paced", help="cuda: real cards")
    parser.add_argument("--streams", type=int, default=256, help="of each card")
    parser.add_argument("--slower", type=float, default=1, help="paced cards so many times as slow as an H200")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--cards", default="1,2")
    parser.add_argument("--frames", type=int, default=150, help="a speech has so many to twice as many")
    parser.add_argument("--temperature", type=float, default=0.9, help="0: no noise, and the draws cost little")
    parser.add_argument("--format", default="pcm")
    parser.add_argument("--processes", type=int, default=1, help="of clients, a card")
    parser.add_argument("--old", help="another csm")
    parser.add_argument("--perf", action="store_true")
    parser.add_argument("options", nargs="*", help="of csm serve, behind --")
    a = parser.parse_intermixed_args()
    csms = ([("old", a.old)] if a.old else []) + [("new", BUILD / "bin/csm")]
    rates = {}
    for _ in range(a.turns):
        for name, csm in csms:
            for n_cards in map(int, a.cards.split(",")):
                rates.setdefault((name, n_cards), []).append(measure(name, csm, a, n_cards, a.options))
    for name, _ in csms:
        best = {n: max(r) for (of, n), r in rates.items() if of == name}
        few, many = min(best), max(best)
        if few != many and best[few] > 0:
            print(f"{name}: {many} cards give {best[many] / best[few]:.2f} times {few} (the best turn of each)")


if __name__ == "__main__":
    main()
