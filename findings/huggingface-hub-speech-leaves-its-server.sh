#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# huggingface_hub 2.4.0: InferenceClient(base_url=SERVER/v1) is the documented way to a server of OpenAI's routes, and
# chat_completion(model=...) goes there. text_to_speech does not: without model= it sends {"inputs": ...} to /v1
# itself, no route of such a server; with model= it drops the base_url and sends the text to the hub's own service. No
# message.
#
# Seen here, with a transport that answers in place of the network: chat goes to the server's /v1/chat/completions,
# speech without a model to its /v1, speech with one to another host, the text in the body.
#
# Speech is asked of csm serve through the openai package.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check huggingface_hub==2.4.0
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import sys
from importlib.metadata import version

import httpx2
import huggingface_hub

print("huggingface_hub", version("huggingface_hub"))
SERVER, posted = "speech.example", []


def answer(request):
    if request.method == "POST":
        posted.append((request.url.host, request.url.path, b"Hi there." in request.content))
    if request.url.path.endswith("completions"):
        return httpx2.Response(200, json={"choices": [], "created": 1, "id": "1", "model": "csm"})
    serving = {"hf-inference": {"status": "live", "providerId": "csm", "task": "text-to-speech"}}
    return httpx2.Response(200, json={"id": "csm", "pipeline_tag": "text-to-speech", "tags": [],
                                     "inferenceProviderMapping": serving})


huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(answer)))
client = huggingface_hub.InferenceClient(base_url=f"http://{SERVER}/v1", api_key="none")
client.chat_completion(messages=[{"role": "user", "content": "Hi there."}], model="csm")
client.text_to_speech("Hi there.")
client.text_to_speech("Hi there.", model="csm")
for what, (host, path, has_text) in zip(("chat", "speech", "speech with model="), posted):
    print(f"{what}: {host if host == SERVER else 'another host'} {path}, the text in it: {has_text}")
sys.exit(0 if [(host == SERVER, path) for host, path, _ in posted[:2]] ==
         [(True, "/v1/chat/completions"), (True, "/v1")] and posted[2][0] != SERVER and posted[2][2] else 1)
PY
