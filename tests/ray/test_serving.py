# SPDX-License-Identifier: Apache-2.0
"""csm.ray.serve_app behind Ray Serve: the routes of csm serve, byte for byte, as they come."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

import aiohttp
import pytest
import ray
import ray.serve
from corpora import cluster

import csm.ray
from csm.cli.command import COMMAND

SAID = {"input": "Hello there.", "voice": "alloy", "seed": 7}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port, method, path, body=None, headers=None):
    """(status, headers, bytes)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


@pytest.fixture(scope="module")
def direct():
    """The port of a csm serve that nobody stands before."""
    run = subprocess.Popen([COMMAND, "serve", "--port", "0", "--no-mark"], stdout=subprocess.PIPE, text=True)
    yield int(run.stdout.readline().rpartition(":")[2])
    run.send_signal(signal.SIGTERM)
    run.wait(30)
    run.stdout.close()


@pytest.fixture(scope="module")
def served():
    """The port of Ray Serve, with two replicas."""
    port = free_port()
    with cluster(1):
        ray.serve.start(http_options={"host": "127.0.0.1", "port": port})
        ray.serve.run(csm.ray.serve_app(num_replicas=2, num_cpus=0.25, mark=False))
        yield port
        ray.serve.shutdown()


def processes():
    """The csm serve of the replicas: those whose standard input is nobody's terminal and whose parent is a leash."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()]
    leashes = {pid for pid, _, args in rows if args.startswith("/bin/sh -c exec 3<&0")}
    return [int(pid) for pid, parent, args in rows if parent in leashes and f"{COMMAND} serve" in args]


@pytest.mark.parametrize("form", ["pcm", "wav", "mp3", "flac"])
def test_a_request_sounds_as_without_ray(served, direct, form):
    one, other = (ask(port, "POST", "/v1/audio/speech", SAID | {"response_format": form}) for port in (served, direct))
    assert one[0] == other[0] == 200 and one[2] == other[2] and len(one[2]) > 1000
    assert one[1]["content-type"] == other[1]["content-type"] and one[1]["x-seed"] == "7"


def test_other_routes_and_refusals_go_through(served, direct):
    for method, path, body in [("GET", "/v1/models", None), ("GET", "/v1/audio/voices", None), ("GET", "/openapi.json", None),
                               ("GET", "/", None), ("GET", "/nowhere", None), ("DELETE", "/v1/audio/voices/no%2Fbody", None),
                               ("POST", "/v1/audio/speech", {"input": ""}), ("POST", "/v1/audio/speech/batch", {"x": 1})]:
        one, other = (ask(port, method, path, body, {"x-request-id": "r"}) for port in (served, direct))
        one_body, other_body = (re.sub(rb'"created":\d+', b"", answer[2]) for answer in (one, other))
        assert one[0] == other[0] and one_body == other_body, (path, one, other)
    assert ask(served, "GET", "/health")[0] == 200 and b"csm_requests_waiting" in ask(served, "GET", "/metrics")[2]


def test_sound_comes_as_it_is_drawn(served):
    """Of a long text the first bytes are there long before the last."""
    connection = http.client.HTTPConnection("127.0.0.1", served, timeout=60)
    started = time.monotonic()
    connection.request("POST", "/v1/audio/speech", json.dumps(
        SAID | {"input": "One sentence after another is said. " * 30, "response_format": "pcm"}))
    answer = connection.getresponse()
    answer.read(1000)
    first = time.monotonic() - started
    answer.read()
    assert first < (time.monotonic() - started) / 4
    connection.close()


def test_a_websocket_goes_through(served, direct):
    async def talk(port):
        sound = b""
        async with aiohttp.ClientSession() as session, session.ws_connect(
                f"http://127.0.0.1:{port}/v1/audio/speech/stream") as ws:
            await ws.send_json({"type": "session.config", "voice": "alloy", "seed": 7, "response_format": "pcm"})
            await ws.send_json({"type": "input.text", "text": "Hello there. How are you?"})
            await ws.send_json({"type": "input.done"})
            kinds = []
            async for message in ws:
                if message.type == aiohttp.WSMsgType.BINARY:
                    sound += message.data
                else:
                    kinds.append(message.json()["type"])
                    if kinds[-1] == "session.done":
                        return kinds, sound

    one, other = asyncio.run(talk(served)), asyncio.run(talk(direct))
    assert one == other and len(one[1]) > 10000 and "audio.done" in one[0]


def test_a_killed_process_breaks_what_it_says_off_and_is_replaced(served):
    """No client takes half a stream for the whole; what is asked later is answered."""
    before = set(processes())
    assert len(before) == 2
    connection = http.client.HTTPConnection("127.0.0.1", served, timeout=60)
    connection.request("POST", "/v1/audio/speech", json.dumps(
        SAID | {"input": "One sentence after another is said. " * 60, "response_format": "pcm"}))
    answer = connection.getresponse()
    answer.read(1000)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()
    deadline = time.monotonic() + 60
    while len(set(processes()) - before) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    while (found := ask(served, "POST", "/v1/audio/speech", SAID))[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found[0] == 200 and not set(processes()) & before


def test_replicas_that_are_killed_leave_no_process(served):
    pids = processes()
    ray.serve.shutdown()
    deadline = time.monotonic() + 30
    while set(processes()) & set(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pids and not set(processes()) & set(pids)
