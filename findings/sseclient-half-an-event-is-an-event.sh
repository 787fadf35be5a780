#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sseclient-py 1.9.0: where a stream of server-sent events breaks off within an event, the part of it that came is given
# as an event like any other. The standard, which its code quotes, says to discard it ("once the end of the file is
# reached, any pending data must be discarded"). Half of a piece of sound in base64 is decoded as a shorter piece, and
# "data: 1" of "data: 12.5 seconds" is a number. httpx-sse 0.4.3 discards it.
#
# Seen here: of two events, the second cut within its data, sseclient gives two, the second with 4 of 8 letters;
# httpx-sse gives one.
#
# Who reads speech by events waits for the event that ends it ("done"), whatever else has come.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check sseclient-py==1.9.0 httpx-sse==0.4.3 httpx==0.28.1 requests==2.34.2
venv/bin/python - <<'PY'
import http.server
import sys
import threading
from importlib.metadata import version

import httpx
import httpx_sse
import requests
import sseclient

print("sseclient-py", version("sseclient-py"), "httpx-sse", version("httpx-sse"))
WHOLE = b"event: audio\ndata: AAAAAAAA\n\nevent: audio\ndata: AQABAAEA\n\n"


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with the first bytes of the stream, as many as the path says, and closes."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(WHOLE[:int(self.path[1:])])

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()


def by_sseclient(url):
    return [x.data for x in sseclient.SSEClient(requests.get(url, stream=True)).events()]


def by_httpx_sse(url):
    with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", url) as source:
        return [x.data for x in source.iter_sse()]


seen = {}
for read in (by_sseclient, by_httpx_sse):
    for n in (len(WHOLE), len(WHOLE) - 6):
        seen[read, n] = read(f"http://127.0.0.1:{server.server_port}/{n}")
        print(read.__name__, f"of {n} bytes of {len(WHOLE)}:", seen[read, n])
server.shutdown()
both = ["AAAAAAAA", "AQABAAEA"]
sys.exit(list(seen.values()) != [both, ["AAAAAAAA", "AQAB"], both, ["AAAAAAAA"]])
PY
