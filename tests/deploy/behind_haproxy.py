# SPDX-License-Identifier: Apache-2.0
"""Two csm serve behind HAProxy (deploy/haproxy.cfg), 64 clients, one replica killed at a third of the time and
brought back at two thirds. What had not begun to sound must succeed, what is in flight there must end as an error,
and no sound may be another than that of a csm serve alone. A client asks again after a 502 or 503, as OpenAI's
SDKs do: HAProxy itself does not where a connection was reset (docs/DEPLOY.md)."""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CSM = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build")) / "bin" / "csm"
SENTENCES = ["The boat came back at last.", "No.", "My neighbour stood still in the dark, and so did the dog.",
             "Come in.", "Her letter arrived before noon, after the rain, on a Tuesday.", "Who is it?"]
TEXTS = [" ".join(SENTENCES[(i + j) % 6] for j in range(1 + i % 3)) for i in range(12)]
RETRIES = 2  # of OpenAI's SDKs
FORMATS = ["pcm", "wav"]  # as it is drawn; the whole file


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(port):
    run = subprocess.Popen([CSM, "serve", "--port", str(port), "--threads", "1", "--no-mark"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)
    assert run.stdout.readline().startswith("listening on ")
    return run


def request(port, which, form, on_status):
    """The sound. on_status(status) is called when the answer begins."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/audio/speech", json.dumps(
            {"input": TEXTS[which], "voice": "alloy", "seed": which, "response_format": form}))
        answer = connection.getresponse()
        on_status(answer.status)
        return answer.read()
    finally:
        connection.close()


def speeches(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    found = re.findall(r'^csm_speech_total\{.*\} (\d+)$', connection.getresponse().read().decode(), re.M)
    connection.close()
    return sum(map(int, found))


class Clients:
    """Threads that ask for texts until told to stop; outcomes counted by kind."""

    def __init__(self, port, sounds):
        self.port, self.sounds = port, sounds
        self.outcomes = collections.Counter()
        self.wrong = []
        self.is_over = False
        self.lock = threading.Lock()

    def run(self, seed):
        draw = random.Random(seed)
        while not self.is_over:
            which, form = draw.randrange(len(TEXTS)), draw.choice(FORMATS)
            for _ in range(1 + RETRIES):
                kind = self.ask(which, form)
                if kind != "asked again":
                    break
                with self.lock:
                    self.outcomes[kind, form] += 1
            else:
                kind = self.complain(which, form, f"502 or 503 {1 + RETRIES} times")
            with self.lock:
                self.outcomes[kind, form] += 1

    def ask(self, which, form):
        status = []
        whole = self.sounds[which, form]
        try:
            sound = request(self.port, which, form, status.append)
        except http.client.IncompleteRead as broken:
            return "broken off" if whole.startswith(broken.partial) else self.complain(which, form, "no part of it")
        except (OSError, http.client.HTTPException) as error:
            return "broken off" if status else self.complain(which, form, repr(error))
        if status in ([502], [503]):
            return "asked again"
        if status != [200]:
            return self.complain(which, form, f"status {status}: {sound[:200]!r}")
        return "whole" if sound == whole else self.complain(which, form, f"{len(sound)} bytes, expected {len(whole)}")

    def complain(self, which, form, what):
        with self.lock:
            self.wrong.append(f"text {which} as {form}: {what}")
        return "wrong"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    one, two, front = free_port(), free_port(), free_port()
    replicas = {one: serve(one), two: serve(two)}
    proxy = subprocess.Popen(["haproxy", "-f", ROOT / "deploy" / "haproxy.cfg", "-q"], stdout=subprocess.DEVNULL, env={
        **os.environ, "CSM_LISTEN": f"127.0.0.1:{front}", "CSM_ONE": f"127.0.0.1:{one}", "CSM_TWO": f"127.0.0.1:{two}"})
    try:
        sounds = {(i, form): request(one, i, form, lambda _: None) for i in range(len(TEXTS)) for form in FORMATS}
        time.sleep(2)
        clients = Clients(front, sounds)
        threads = [threading.Thread(target=clients.run, args=(seed,)) for seed in range(args.clients)]
        for thread in threads:
            thread.start()
        time.sleep(args.seconds / 3)
        replicas[one].send_signal(signal.SIGKILL)
        replicas[one].wait()
        replicas[one].stdout.close()
        time.sleep(args.seconds / 3)
        replicas[one] = serve(one)
        time.sleep(args.seconds / 3)
        clients.is_over = True
        for thread in threads:
            thread.join()
        n_again = speeches(one)
    finally:
        proxy.terminate()
        proxy.wait()
        for replica in replicas.values():
            replica.terminate()
            replica.wait()
    print(f"{args.clients} clients, {args.seconds:g} s:", ", ".join(
        f"{n} {kind} as {form}" for (kind, form), n in sorted(clients.outcomes.items())))
    print(f"the replica that was brought back has said {n_again} texts")
    for what in clients.wrong[:20]:
        print("wrong:", what)
    n_broken = sum(n for (kind, _), n in clients.outcomes.items() if kind == "broken off")
    return 0 if not clients.wrong and 0 < n_broken <= args.clients and n_again > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
