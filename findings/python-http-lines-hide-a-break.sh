#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Python's http.client (3.11 here; urllib.request is built on it): reading a chunked answer line by line, as events of
# speech (text/event-stream) are read, ends without an exception where the server dies between two chunks. read(),
# read(n) and read1() of the same answer raise IncompleteRead. Where the answer has a Content-Length, read(n) and lines
# end in silence too (so does shutil.copyfileobj, which many downloads use), and read() alone raises. urllib3, requests,
# httpx and aiohttp raise in every case.
#
# Seen here: of an answer that breaks off after its first chunk, `for line in response` gives what came, and ends.
#
# Who reads events with urllib waits for the last of them ([DONE], speech.audio.done); who copies a file compares its size.
#
# Needs python3. Exits 1 if it is no longer so.
set -eu
python3 - <<'PY'
import http.client
import io
import shutil
import socket
import sys
import threading
import urllib.request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
BROKEN = {"chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
          "Content-Length": HEAD + b"Content-Length: 90\r\n\r\ndata: 1\n\n"}


def answer(server):
    while True:
        client, _ = server.accept()
        client.recv(65536)
        client.sendall(BROKEN[kind])
        client.close()


def pieces(response):
    found = b""
    while piece := response.read(4):
        found += piece
    return found


def copied(response):
    out = io.BytesIO()
    shutil.copyfileobj(response, out)
    return out.getvalue()


server = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{server.getsockname()[1]}"
threading.Thread(target=answer, args=(server,), daemon=True).start()
print("Python", sys.version.split()[0])
silent = {}
for kind in BROKEN:
    for way, read in [("lines", b"".join), ("read(n)", pieces), ("copyfileobj", copied), ("read()", lambda r: r.read())]:
        try:
            got = read(urllib.request.urlopen(url))
            silent.setdefault(kind, []).append(way)
            print(f"{kind}, {way}: {got!r}, no exception")
        except http.client.IncompleteRead as error:
            print(f"{kind}, {way}: {error!r}")
sys.exit(silent != {"chunked": ["lines"], "Content-Length": ["lines", "read(n)", "copyfileobj"]})
PY
