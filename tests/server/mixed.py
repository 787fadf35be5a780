# SPDX-License-Identifier: Apache-2.0
"""mixed.py N: N calls of every kind from 16 clients at once: whole answers in every format, streams,
batches, clients that leave in the middle, voices that come and go, contexts, text as it is written by
WebSocket, realtime events of both ages, Wyoming, and what is to be refused. Afterwards nothing is left, and
the metrics have counted what the log tells. For a csm that was built with a sanitizer: it ends with what
that reports."""

import concurrent.futures
import contextlib
import json
import pathlib
import random
import re
import sys
import tempfile

from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

from conftest import TEXT, Server, data_uri, recording, wait_until
from test_sockets import BETA, Socket, configured
from test_voices import SAID, upload
from test_wyoming import TEXTS, talk

FORMATS = ["pcm", "mp3", "opus", "aac", "flac", "wav"]


def whole(server, rng, sound):
    body = {"input": TEXT, "response_format": rng.choice(FORMATS), "seed": rng.randrange(100), "speed": rng.choice([1, 1.5]),
            "max_audio_ms": 800, "stream_format": rng.choice(["audio", "sse"])}
    return server.request("POST", "/v1/audio/speech", body)[0] == 200


def batch(server, rng, sound):
    items = [{"input": TEXT, "seed": i} for i in range(rng.randint(1, 5))]
    return server.request("POST", "/v1/audio/speech/batch", {"items": items})[0] == 200


def with_context(server, rng, sound):
    context = [{"speaker": 1, "text": SAID, "audio": data_uri(sound)}]
    return server.request("POST", "/v1/audio/speech", {"input": TEXT, "context": context, "max_audio_ms": 400})[0] == 200


def leaving(server, rng, sound):
    with server.socket() as s:
        body = json.dumps({"input": "A long one. " * 9, "response_format": rng.choice(FORMATS)}).encode()
        s.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.settimeout(rng.choice([0.05, 0.5, 5]))  # whoever leaves waits for nothing
        with contextlib.suppress(TimeoutError):
            for _ in range(rng.randrange(4)):
                s.recv(1000)
    return True


def voice(server, rng, sound):
    name = f"v{rng.randrange(3)}"
    fields = {"name": name, "ref_text": SAID, "consent": "Anna, in writing"}
    added = upload(server, sound, fields)[0] in (201, 409)
    said = server.request("POST", "/v1/audio/speech", {"input": TEXT, "voice": name, "max_audio_ms": 400})[0] in (200, 400, 404)
    listed = server.request("GET", "/v1/audio/voices")[0] == 200
    return added and said and listed and server.request("DELETE", f"/v1/audio/voices/{name}")[0] in (200, 204, 404)


def socket(server, rng, sound):
    with configured(server, response_format="pcm", stream_audio=True, seed=5) as s:
        for words in TEXTS:
            s.send("input.text", text=words)
        if rng.random() < 0.3:
            return s.next()["type"] == "audio.start"  # and leaves
        s.send("input.done")
        return len(s.utterance()) == 3


def realtime(server, rng, sound):
    with Socket(server, "/v1/realtime?model=csm", **rng.choice(list(BETA.values()))) as s:
        s.until("session.created")
        s.send("conversation.item.create",
               item={"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]})
        s.send("response.create")
        if rng.random() < 0.3:
            s.send("response.cancel")
            s.send("conversation.item.truncate", item_id="", content_index=0, audio_end_ms=0)
        return s.until("response.done")[-1]["response"]["status"] in ("completed", "cancelled")


def wyoming(server, rng, sound):
    if rng.random() < 0.5:
        return talk(server, Synthesize(text=TEXT), until="audio-stop") != []
    return talk(server, SynthesizeStart(), *[SynthesizeChunk(text=t) for t in TEXTS], SynthesizeStop(),
                until="synthesize-stopped") != []


def refused(server, rng, sound):
    method, path, body, status = rng.choice([
        ("POST", "/v1/audio/speech", {"input": ""}, 400), ("POST", "/v1/audio/speech", "{", 400),
        ("POST", "/v1/audio/speech", {"input": TEXT, "ref_audio": "AAAA", "ref_text": SAID}, 400),
        ("POST", "/v1/audio/speech/batch", {"items": []}, 400), ("PUT", "/v1/audio/speech", {}, 405),
        ("GET", "/v1/nothing", None, 404), ("DELETE", "/v1/audio/voices/nobody", None, 404),
        ("GET", "/v1/realtime", None, 426), ("POST", "/v1/audio/voices", "no form", 400)])
    return server.request(method, path, body)[0] == status


def asking(server, rng, sound):
    return all(server.request("GET", path)[0] == 200 for path in ("/metrics", "/health", "/v1/models", "/"))


KINDS = [whole, whole, whole, batch, with_context, leaving, leaving, voice, socket, realtime, wyoming, refused, asking]


def one(server, i, sound):
    rng = random.Random(i)
    kind = rng.choice(KINDS)
    try:
        return None if kind(server, rng, sound) else kind.__name__
    except Exception as error:  # told, and counted
        return f"{kind.__name__}: {type(error).__name__} {error}"


def miscounted(server):
    """What the metrics count otherwise than the log tells, or as still there."""
    found = {}

    def count():
        text = server.request("GET", "/metrics")[2].decode()  # which counts itself when it is answered
        found["counted"] = sum(int(n) for n in re.findall(r"^csm_http_requests_total.* (\d+)$", text, re.M))
        found["told"] = sum(re.search(r" [A-Z]+ /\S* \d+ \d+ B ", line) is not None for line in server.log)
        found["left"] = [line for line in text.splitlines()
                         if re.match("csm_(requests_running|requests_waiting|lanes) ", line) and not line.endswith(" 0")]
        return found["left"] == [] and found["counted"] <= found["told"] <= found["counted"] + 1

    return [] if wait_until(count, timeout=20, every=0.5) else [f"metrics: {found}"]


def main(n):
    with tempfile.TemporaryDirectory() as scratch:
        sound = recording()
        server = Server("--wyoming-port", 0, "--queue", 1000, voices=pathlib.Path(scratch))
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            wrong = [w for w in pool.map(lambda i: one(server, i, sound), range(n)) if w is not None]
        wrong += miscounted(server)
        status = server.stop(timeout=120)
    print(f"{n} calls from 16 clients: {len(wrong)} answered otherwise than expected; exit {status}")
    print(*sorted(set(wrong)), sep="\n")
    reports = [line for line in server.log if "Sanitizer" in line]
    print(*server.log if reports else [], sep="\n")
    return 0 if not wrong and status == 0 and not reports else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
