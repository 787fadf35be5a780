# SPDX-License-Identifier: Apache-2.0
"""soak.py N: N requests of every kind, 16 at a time; memory after each tenth of them."""

import concurrent.futures
import random
import sys
import tempfile
import time

from conftest import TEXT, Server

FORMATS = ["pcm", "mp3", "opus", "aac", "flac", "wav"]


def one(server, i):
    rng = random.Random(i)
    kind = rng.randrange(10)
    if kind == 0:
        status, expected = server.request("GET", "/v1/audio/voices")[0], 200
    elif kind == 1:
        status, expected = server.request("POST", "/v1/audio/speech", {"input": TEXT, "speed": 99})[0], 400
    elif kind == 2:
        with server.socket() as s:  # a client that leaves
            body = b'{"input":"A long one. A long one.","response_format":"pcm"}'
            s.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            s.recv(100)
        return True
    else:
        body = {"input": TEXT, "response_format": rng.choice(FORMATS), "seed": i % 100, "max_audio_ms": 400,
                "speed": rng.choice([1, 1, 1, 1.5])}
        if rng.random() < 0.5:
            body["stream_format"] = rng.choice(["audio", "sse"])
        status, expected = server.request("POST", "/v1/audio/speech", body)[0], 200
    return status == expected


def main(n):
    with tempfile.TemporaryDirectory() as voices:
        # What is kept read grows up to its limit: a low one, so that the rest is seen.
        server = Server("--prefix-cache-mb", 4, voices=voices)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda i: one(server, i), range(min(n, 500))))  # what stays with the allocator
            time.sleep(1)
            rss, descriptors, n_wrong = [server.rss_kb()], [server.n_descriptors()], 0
            for part in range(10):
                begin, end = part * n // 10, (part + 1) * n // 10
                n_wrong += sum(not right for right in pool.map(lambda i: one(server, i), range(begin, end)))
                time.sleep(1)
                rss.append(server.rss_kb())
                descriptors.append(server.n_descriptors())
        running = server.metric("csm_requests_running")
        status = server.stop()
    print(f"{n} requests: {n_wrong} answered otherwise than expected, {running:.0f} left running, exit {status}")
    print("KB of memory:", *rss)
    print("descriptors:", *descriptors)
    # The second half may not take more than the first left open to the allocator: 2 %.
    is_flat = rss[10] <= 1.02 * rss[5] + 1024
    return 0 if n_wrong == 0 and running == 0 and status == 0 and is_flat and descriptors[10] <= descriptors[0] else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
