#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Varnish 7.1.1 (Debian 12's 7.1.1-2): an answer in chunks whose last chunk is followed by a trailer, as RFC 9112,
# 7.1.2, allows, counts as broken. Varnish takes "0\r\n" and then expects the empty line alone. A short answer becomes
# "503 Backend fetch failed"; one that has begun to go out ends without its last chunk.
#
# Seen here: without a trailer 200 and its five bytes; with one 503.
#
# Whoever answers with trailers (sums, statuses, figures that are known at the end) behind Varnish sends them to who
# asked by `TE: trailers` alone, or not at all.
#
# Needs apt-get, dpkg, gcc and python3. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
apt-get -qq -o APT::Sandbox::User=root download varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 libjemalloc2
for package in *.deb; do
    dpkg -x "$package" root
done
LD_LIBRARY_PATH=$(find "$PWD/root/usr/lib" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
VARNISH="$place/root/usr/sbin/varnishd" python3 - <<'PY'
import http.client
import os
import socket
import subprocess
import sys
import threading
import time

VARNISH = os.environ["VARNISH"]
server, probe = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
PLAIN = HEAD + b"\r\n5\r\nhello\r\n0\r\n\r\n"
WITH_TRAILER = HEAD + b"Trailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"


def answer():
    while True:
        connection, _ = server.accept()
        asked = connection.recv(1 << 16)
        connection.sendall(WITH_TRAILER if b"GET /trailer " in asked else PLAIN)
        time.sleep(0.5)
        connection.close()


def ask(path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path)
    response = client.getresponse()
    return response.status, response.read() if response.status == 200 else None


threading.Thread(target=answer, daemon=True).start()
port = probe.getsockname()[1]
probe.close()
print(subprocess.run([VARNISH, "-V"], capture_output=True, text=True).stderr.splitlines()[0])
run = subprocess.Popen(
    [VARNISH, "-F", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{server.getsockname()[1]}",
     "-n", os.path.abspath("work"), "-j", "none"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.2)
    plain, with_trailer = ask("/plain"), ask("/trailer")
finally:
    run.terminate()
    run.wait()
print(f"without a trailer: {plain}; with one: {with_trailer}")
sys.exit(0 if (plain, with_trailer) == ((200, b"hello"), (503, None)) else 1)
PY
