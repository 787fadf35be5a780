#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# litellm 1.110.2: litellm.speech(...) with an OpenAI-compatible server sends model, input, voice, response_format,
# speed and instructions. Everything else that is given is dropped without a word: extra_body, stream_format, and
# fields of the server's own such as seed. litellm.completion sends extra_body's fields on, and the openai package does
# for speech.
#
# Seen here: seed=7, extra_body={"seed": 7} and stream_format="sse" do not arrive; with the openai package both do.
#
# A request that must be repeatable goes to csm serve through the openai package, or names a voice that has its seed.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check litellm==1.110.2
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import http.server
import json
import os
import sys
import threading
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
import openai

print({name: version(name) for name in ("litellm", "openai")})
bodies = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        if self.path.endswith("speech"):
            kind, body = "audio/mpeg", b"\0" * 4096
        else:
            kind = "application/json"
            body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}]}).encode()
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = {"api_base": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "none", "model": "openai/csm"}
own = {"seed": 7}
litellm.speech(input="Hi.", voice="a", seed=7, **place)
litellm.speech(input="Hi.", voice="a", extra_body=own, stream_format="sse", **place)
litellm.completion(messages=[{"role": "user", "content": "Hi."}], extra_body=own, **place)
client = openai.OpenAI(base_url=place["api_base"], api_key="none")
client.audio.speech.create(model="csm", input="Hi.", voice="a", extra_body=own, stream_format="sse")
for name, body in zip(("litellm.speech seed=", "litellm.speech extra_body=", "litellm.completion", "openai"), bodies):
    print(f"{name}: {sorted(body)}")
arrived = ["seed" in body for body in bodies]
sys.exit(0 if arrived == [False, False, True, True] and "stream_format" not in bodies[1] else 1)
PY
