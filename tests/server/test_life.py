# SPDX-License-Identifier: Apache-2.0
"""Streams, queue, clients that go or dawdle, and the end of the server."""

import concurrent.futures
import json
import os
import pty
import re
import signal
import socket
import threading
import time

import pytest

from conftest import CSM, TEXT, dechunk, generate, wait_until

LONG = "This is a long text. " * 60
SHORTER = "This is a long text. " * 12


def asked(text=LONG, **fields):
    body = json.dumps({"input": text, "response_format": "pcm", "seed": 1, **fields}).encode()
    return b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def begin(server, **fields):
    """A socket on which a long speech has begun."""
    s = server.socket(timeout=30)
    s.sendall(asked(**fields))
    assert s.recv(12) == b"HTTP/1.1 200"
    return s


def test_a_full_queue_is_503_with_retry_after(start):
    s = start("--max-streams", 1, "--queue", 1)
    slow = begin(s)  # nobody reads on: it fills its buffers and keeps its stream
    waiting = s.socket()
    waiting.sendall(asked("Hi."))
    assert wait_until(lambda: s.metric("csm_requests_waiting") == 1)
    status, headers, answer = s.request("POST", "/v1/audio/speech", {"input": "Hi."})
    assert status == 503 and headers["Retry-After"] == "1"
    assert json.loads(answer)["error"]["code"] == "queue_full"
    slow.close()  # its stream goes to the one that waits
    assert waiting.recv(12) == b"HTTP/1.1 200"
    waiting.close()


def test_a_client_that_leaves_frees_its_stream(start):
    s = start("--max-streams", 1)
    for _ in range(5):
        gone = begin(s)
        assert s.metric("csm_requests_running") == 1
        gone.close()
        assert wait_until(lambda: s.metric("csm_requests_running") == 0, timeout=2, every=0.005)
    # and one whose request is still waiting
    held = begin(s)
    waiting = s.socket()
    waiting.sendall(asked())
    assert wait_until(lambda: s.metric("csm_requests_waiting") == 1)
    waiting.close()
    assert wait_until(lambda: s.metric("csm_requests_waiting") == 0, timeout=2)
    held.close()


def test_a_slow_reader_holds_nobody_up_and_loses_nothing(start):
    s = start("--max-streams", 4)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", s.port))
    slow.settimeout(60)
    # A quarter of the speed is four times the bytes: more than the system's buffers hold.
    slow.sendall(asked(SHORTER, speed=0.25).replace(b"Host: x", b"Host: x\r\nConnection: close"))
    head = slow.recv(4096)
    expected = [generate(TEXT, seed) for seed in range(10)]
    began = time.monotonic()
    assert [s.speak(seed=seed) for seed in range(10)] == expected
    assert time.monotonic() - began < 20
    assert s.metric("csm_requests_running") == 1  # it waits for its reader
    received = bytearray(head)
    while piece := slow.recv(65536):
        received += piece
    assert dechunk(bytes(received)) == s.speak(SHORTER, seed=1, speed=0.25)


def test_sigterm_finishes_what_is_being_said(start):
    s = start("--max-streams", 2)
    results = []
    speaker = threading.Thread(target=lambda: results.append(s.speak(SHORTER, seed=1)))
    speaker.start()
    assert wait_until(lambda: s.metric("csm_requests_running") == 1)
    kept = s.connect()
    kept.request("GET", "/health")
    kept.getresponse().read()
    s.process.send_signal(signal.SIGTERM)
    assert wait_until(lambda: is_refused(s))  # nothing new
    speaker.join(60)
    assert results == [generate(SHORTER, 1)]
    assert s.stop() == 0


def test_clients_may_leave_while_their_sound_is_encoded(start):
    """Encoders work beside the loop: whoever stays has all bytes in order, whoever leaves holds up nothing."""
    s, text = start(), "This is a text. " * 4
    fields = {"response_format": "mp3", "stream_format": "audio"}
    alone = [s.speak(text, seed=seed, **fields) for seed in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda seed: s.speak(text, seed=seed, **fields), range(2))
        for i in range(8):
            gone = begin(s, **fields)
            gone.recv(1 + 251 * i)
            gone.close()
        assert list(together) == alone
        gone = begin(s, **fields)
        said = [pool.submit(s.speak, text, seed=seed, **fields) for seed in range(2)]
        assert wait_until(lambda: s.metric("csm_requests_running") + sum(one.done() for one in said) >= 3)
        s.process.send_signal(signal.SIGTERM)
        gone.close()
        assert [one.result() for one in said] == alone
    assert s.stop() == 0


def is_refused(s):
    try:
        s.socket(timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_half_a_sound_without_length_or_chunks_is_no_whole(start, how):
    """HTTP/1.0 has the close alone to tell the end: one that comes too early is a reset."""
    s = start()
    with s.socket() as client:
        client.sendall(asked().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.recv(12) == b"HTTP/1.1 200"
        s.process.send_signal(how)
        assert wait_until(lambda: is_refused(s))
        s.process.send_signal(how)  # the second SIGTERM ends it at once
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


def test_a_terminal_that_is_gone_ends_the_server(tmp_path):
    """As a shell and the system tell it; under nohup it goes on."""

    def begin(ignored):
        pid, terminal = pty.fork()
        if pid == 0:
            if ignored:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execv(CSM, [CSM, "serve", "--port", "0", "--voices-dir", str(tmp_path)])
        told = b""
        while not (found := re.search(rb"listening on http://.*:(\d+)", told)):
            told += os.read(terminal, 1000)
        os.close(terminal)
        return pid, int(found[1])

    def ended(pid):
        found = os.waitpid(pid, os.WNOHANG)
        return found if found[0] == pid else None

    pid, _ = begin(ignored=False)
    assert wait_until(lambda: ended(pid)) == (pid, 0)
    pid, port = begin(ignored=True)
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: ended(pid)) == (pid, 0)


def test_sigint_ends_an_idle_server_at_once(start):
    s = start("--wyoming-port", 0)
    began = time.monotonic()
    assert s.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 2


def test_devices_share_the_work_and_say_the_same(start):
    s = start("--device", "cpu,cpu", "--engine", "native")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: s.speak(seed=seed % 4), range(16)))
    assert found == [generate(TEXT, seed) for seed in range(4)] * 4
    assert s.stop() == 0


def test_health_is_503_until_the_model_is_there(start, tmp_path):
    """A model that cannot be opened ends the server with exit code 3 and one line."""
    s = start("--model-path", tmp_path, ready=False)
    assert s.process.wait(20) == 3
    s.stop()
    lines = [line for line in s.log if line.startswith("csm: ")]
    assert len(lines) == 1 and str(tmp_path) in lines[0]


def test_usage_errors_are_one_line_and_exit_2(csm):
    for wrong in (["--port", "70000"], ["--max-streams", "0"], ["--no-such"], ["--tls-cert", "x"],
                  ["--no-auth", "--api-key-file", "x"], ["--alias", "x"], ["--mark", "--no-mark"],
                  ["--allow-origin", "example.org"], ["--allow-origin", "https://example.org/"]):
        done = csm("serve", "--port", 0, *wrong, check=False)
        assert done.returncode == 2 and done.stderr.startswith("csm: "), (wrong, done.stderr)


def test_memory_and_descriptors_come_back(start):
    s = start("--max-streams", 8)

    def some(n):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda i: s.speak(seed=i % 5, max_audio_ms=400), range(n)))

    some(100)
    before, n_before = s.rss_kb(), s.n_descriptors()
    some(200)
    assert wait_until(lambda: s.n_descriptors() <= n_before)
    # Another 200 requests may not cost what 20 idle connections would.
    assert s.rss_kb() - before < 4096
