#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a reference voice of ten seconds keeps the first sound waiting.

    bench/reference_voice.py [--model-path DIR] [--rounds N] [--old OTHER/csm]

Medians, in turns: a process that says one frame without a reference, with one
(--context-audio), and with the same as a voice that was added before; of another build, too. And a server
that is asked for one frame with a reference in the request: the first time (cold), the same again
(cached), and none. Standard library alone."""

import argparse
import base64
import http.client
import io
import json
import os
import pathlib
import random
import re
import statistics
import struct
import subprocess
import tempfile
import time
import wave

ROOT = pathlib.Path(__file__).resolve().parents[1]
CSM = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build")) / "bin" / "csm"
SAID, TEXT, SECONDS = "Some words that were recorded.", "Hello there.", 10


def recording(seed):
    """Ten seconds, of noise: the time depends on the length alone."""
    draw = random.Random(seed)
    out = io.BytesIO()
    with wave.open(out, "wb") as f:
        f.setparams((1, 2, 24000, 0, "NONE", ""))
        f.writeframes(struct.pack(f"<{24000 * SECONDS}h",
                                  *(int(3000 * draw.uniform(-1, 1)) for _ in range(24000 * SECONDS))))
    return out.getvalue()


def process(csm, model, out, *more):
    """Milliseconds until a process has written a frame."""
    start = time.perf_counter()
    subprocess.run([csm, "generate", *model, "--text", TEXT, "--seed", "1", "--max-audio-length-ms", "80",
                    "--output", out, "--quiet", *more], check=True, stderr=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - start)


def processes(csm, model, scratch, rounds):
    """{kind: [ms]}"""
    voices = scratch / "voices"
    sound = scratch / "reference.wav"
    sound.write_bytes(recording(0))
    environment = dict(os.environ, CSM_VOICES=str(voices))
    subprocess.run([csm, "voice", "add", "bench", "--audio", sound, "--text", SAID, *model], check=True,
                   env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ["CSM_VOICES"] = str(voices)
    kinds = {"without": [], "reference": ["--context-audio", sound, "--context-text", SAID],
             "voice": ["--voice", "bench"]}
    return {kind: [process(csm, model, scratch / "o.wav", *more) for _ in range(rounds)]
            for kind, more in kinds.items()}


def ask(port, context):
    """Milliseconds until the first byte of sound."""
    body = json.dumps({"input": TEXT, "response_format": "pcm", "seed": 1, "max_audio_ms": 80, "context": context})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    start = time.perf_counter()
    connection.request("POST", "/v1/audio/speech", body)
    response = connection.getresponse()
    if response.status != 200 or not response.read(1):
        raise SystemExit(f"bench: {response.status} {response.read()}")
    took = 1e3 * (time.perf_counter() - start)
    response.read()
    connection.close()
    return took


def server(model, rounds):
    serving = subprocess.Popen([CSM, "serve", "--port", "0", *model], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    port = int(re.search(r":(\d+)\n", serving.stdout.readline())[1])
    found = {"server, without": [], "server, cold": [], "server, cached": []}
    ask(port, [])
    for i in range(rounds):
        uri = "data:audio/wav;base64," + base64.b64encode(recording(i + 1)).decode()
        context = [{"speaker": 0, "text": SAID, "audio": uri}]
        found["server, without"].append(ask(port, []))
        found["server, cold"].append(ask(port, context))
        found["server, cached"].append(ask(port, context))
    serving.terminate()
    serving.wait()
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-path")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--old", help="the csm of another build")
    o = parser.parse_args()
    model = ["--model-path", o.model_path] if o.model_path else []
    builds = {"csm": CSM} | ({"old": o.old} if o.old else {})
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(o.rounds):
            for name, csm in builds.items():
                for kind, ms in processes(csm, model, pathlib.Path(scratch), 1).items():
                    found.setdefault(f"{name}, {kind}", []).extend(ms)
    found |= server(model, o.rounds)
    for kind, ms in found.items():
        print(f"{kind:18} {statistics.median(ms):8.1f} ms, best {min(ms):8.1f}")


if __name__ == "__main__":
    main()
