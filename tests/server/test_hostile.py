# SPDX-License-Identifier: Apache-2.0
"""Slow, broken and hostile clients beside honest ones: the honest get their bytes, and what the
others took comes back. CSM_HOSTILE is how many of them (tests/long has a thousand)."""

import os
import random
import socket
import threading
import time

from conftest import TEXT, generate, wait_until

N = int(os.environ.get("CSM_HOSTILE", "150"))
SPEECH = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\n"
BODY = b'{"input":"A long one. A long one. A long one.","response_format":"pcm"}'


def half_open(s, stop):
    s.sendall(SPEECH)
    stop.wait()


def silent(s, stop):
    stop.wait()


def byte_by_byte(s, stop):
    for byte in SPEECH + b"X-A: " + b"a" * 10000:
        if stop.wait(0.05):
            return
        s.sendall(bytes([byte]))


def short_body(s, stop):
    s.sendall(SPEECH + b"Content-Length: 1000\r\n\r\n{")
    stop.wait()


def long_body(s, stop):
    s.sendall(SPEECH + b"Content-Length: 2\r\n\r\n" + b"{}" + b"x" * 1000)
    s.recv(1000)


def huge_header(s, stop):
    s.sendall(SPEECH + b"X-A: " + b"a" * 100000)
    s.recv(1000)


def endless_chunks(s, stop):
    s.sendall(SPEECH + b"Transfer-Encoding: chunked\r\n\r\n")
    while not stop.wait(0.02):
        s.sendall(b"1\r\n{\r\n")


def wrong_json(s, stop):
    s.sendall(SPEECH + b"Content-Length: 10\r\n\r\n{\"input\":\"")
    s.recv(1000)


def garbage(s, stop):
    s.sendall(random.randbytes(2000))
    s.recv(1000)


def dropped(s, stop):
    s.sendall(SPEECH + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    s.recv(10)


def never_reads(s, stop):
    s.sendall(SPEECH + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    stop.wait()


def broken_websocket(s, stop):
    s.sendall(b"GET /v1/audio/speech/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    s.recv(1000)
    s.sendall(random.randbytes(100))
    s.recv(1000)


KINDS = [half_open, silent, byte_by_byte, short_body, long_body, huge_header, endless_chunks, wrong_json,
         garbage, dropped, never_reads, broken_websocket]


def attack(port, n, stop):
    """n clients, each on a thread, again and again until stop."""

    def run(i):
        kind = KINDS[i % len(KINDS)]
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                    kind(s, stop)
            except OSError:
                pass
            stop.wait(0.3)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    return threads


def test_events_whose_answers_nobody_takes_are_left_where_they_are(start):
    s = start("--wyoming-port", 0)
    text = b"\x81\x82\0\0\0\0{}"  # a frame of a client
    floods = {s.wyoming_port: (b"", b'{"type":"describe"}\n'),
              s.port: (b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", text)}
    before = s.rss_kb()
    for port, (begin, one) in floods.items():
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as flood:
            flood.sendall(begin)
            try:
                for _ in range(300):  # answers of 140 MB
                    flood.sendall(one * 2000)
            except TimeoutError:
                pass
            assert s.rss_kb() - before < 8000
            assert s.request("GET", "/health")[0] == 200
    assert s.stop() == 0


def test_honest_clients_get_their_bytes_and_memory_comes_back(start):
    random.seed(1)
    # What is kept read grows up to its limit, by design: a low one, so that the rest is seen.
    s = start("--max-streams", 64, "--prefix-cache-mb", 4)
    expected = {seed: generate(TEXT, seed) for seed in range(8)}
    n_before = s.n_descriptors()
    # What a first wave took stays with the allocator: a second may not add to it.
    stop = threading.Event()
    threads = attack(s.port, N, stop)
    time.sleep(max(4, N / 40))
    stop.set()
    for t in threads:
        t.join(15)
    assert wait_until(lambda: s.n_descriptors() <= n_before, timeout=30)
    before = s.rss_kb()
    stop = threading.Event()
    threads = attack(s.port, N, stop)
    time.sleep(1)
    wrong, end = [], time.monotonic() + max(4, N / 40)

    def honest(seed):
        while time.monotonic() < end:
            if s.speak(seed=seed) != expected[seed]:
                wrong.append(seed)

    speakers = [threading.Thread(target=honest, args=(seed,)) for seed in range(8)]
    for t in speakers:
        t.start()
    for t in speakers:
        t.join()
    assert wrong == []
    stop.set()
    for t in threads:
        t.join(15)
    assert wait_until(lambda: s.n_descriptors() <= n_before, timeout=30)
    assert s.speak(seed=0) == expected[0]
    # A third of what the first wave takes, some 75 MB for a thousand: pieces that do not fit.
    assert s.rss_kb() - before < 24 * 1024
    assert s.stop() == 0
