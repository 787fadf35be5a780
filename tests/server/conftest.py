# SPDX-License-Identifier: Apache-2.0
"""A server under test: the real command, on a free port, with the embedded voice."""

import base64
import http.client
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import wave

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build"))
CSM = BUILD / "bin" / "csm"
TEXT = "Hello there."
PATIENCE = float(os.environ.get("CSM_PATIENCE", 1))  # for a csm that a sanitizer slows
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the servers would begin with it ignored


class Server:
    """csm serve as a process; its log is kept as it comes."""

    def __init__(self, *args, voices=None, ready=True):
        env = dict(os.environ)
        if voices is not None:
            args = (*args, "--voices-dir", str(voices))
        self.process = subprocess.Popen(
            [CSM, "serve", "--port", "0", *map(str, args)], env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.log = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.base = self.port = None
        if ready:
            line = self.process.stdout.readline()
            found = re.match(r"listening on (https?://(.*):(\d+))\n$", line)
            assert found, f"expected the listening line, got {line!r}; {self.log}"
            self.base, self.host, self.port = found[1], found[2], int(found[3])

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))

    @property
    def wyoming_port(self):
        for line in self.log:
            if found := re.search(r"Wyoming on tcp://.*:(\d+)", line):
                return int(found[1])
        raise AssertionError(f"no Wyoming port in {self.log}")

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, bytes) of one request on a connection of its own."""
        connection = self.connect(timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        found = response.status, response.headers, response.read()
        connection.close()
        return found

    def speak(self, text=TEXT, headers=None, **fields):
        """The samples (pcm) of a text."""
        status, _, sound = self.request("POST", "/v1/audio/speech",
                                        {"input": text, "response_format": "pcm", **fields}, headers)
        assert status == 200, sound
        return sound

    def socket(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout * PATIENCE)

    def raw(self, sent, timeout=10):
        """All that the server answers to these bytes until it closes."""
        with self.socket(timeout) as s:
            s.sendall(sent)
            received = b""
            while piece := s.recv(65536):
                received += piece
        return received

    def metric(self, name):
        _, _, text = self.request("GET", "/metrics")
        for line in text.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def rss_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)",
                             pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, how=signal.SIGTERM, timeout=20):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(timeout)
        self._reader.join(5)
        return status


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One for all tests that leave it as they found it. Unmarked: samples can be compared."""
    s = Server("--no-mark", "--wyoming-port", 0, voices=tmp_path_factory.mktemp("voices"))
    yield s
    assert s.stop() == 0, s.log[-20:]


@pytest.fixture
def start(tmp_path):
    """start(*args) gives a server of the test's own."""
    started = []

    def make(*args, voices=None, **kwargs):
        s = Server("--no-mark", *args, voices=voices or tmp_path / "voices", **kwargs)
        started.append(s)
        return s

    yield make
    for s in started:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()


def generate(text=TEXT, seed=0, *args):
    """The samples that csm generate makes, as pcm."""
    done = subprocess.run([CSM, "generate", "--text", text, "--seed", str(seed), "--output", "-",
                           "--format", "s16le", "--quiet", *map(str, args)],
                          capture_output=True, check=True)
    return done.stdout


def wait_until(claim, timeout=10, every=0.02):
    """Until claim() holds; its last value."""
    end = time.monotonic() + timeout
    while not (value := claim()) and time.monotonic() < end:
        time.sleep(every)
    return value


def recording(seconds=2.0):
    """A WAV file of speech: the embedded voice's own."""
    sound = generate("This is how I speak when I am asked to read a line aloud.", 5, "--speaker", 1)
    return wav(sound[:2 * int(24000 * seconds)])


def wav(sound):
    """A WAV file of samples."""
    out = io.BytesIO()
    with wave.open(out, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(24000)
        f.writeframes(sound)
    return out.getvalue()


def data_uri(sound, kind="audio/wav"):
    return f"data:{kind};base64," + base64.b64encode(sound).decode()


def dechunk(answer):
    """The body of an answer in chunks, which must be complete."""
    body, out = answer.split(b"\r\n\r\n", 1)[1], b""
    while True:
        size, body = body.split(b"\r\n", 1)
        n = int(size, 16)
        if n == 0:
            return out
        out += body[:n]
        assert body[n:n + 2] == b"\r\n"
        body = body[n + 2:]
