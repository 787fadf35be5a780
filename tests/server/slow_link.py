# SPDX-License-Identifier: Apache-2.0
"""slow_link.py KB: a long answer that is taken at so many kB a second comes whole, on a connection that
ends with it and on one that stays."""

import concurrent.futures
import http.client
import json
import socket
import sys
import tempfile
import time

from conftest import Server

BODY = json.dumps({"input": "A long one, said at length and without haste. " * 88, "response_format": "wav",
                   "sample_rate": 48000})


def taken(server, kb, connection):
    """(bytes that came, those that were promised, seconds)"""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    client.sock = socket.socket()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.sock.connect(("127.0.0.1", server.port))
    client.request("POST", "/v1/audio/speech", BODY, {"Connection": connection})
    answer = client.getresponse()
    began, n = time.monotonic(), 0
    while piece := answer.read1(250 * kb):
        n += len(piece)
        time.sleep(max(0, began + n / 1000 / kb - time.monotonic()))
    return n, int(answer.headers["Content-Length"]), time.monotonic() - began


def main(kb):
    with tempfile.TemporaryDirectory() as voices:
        server = Server("--no-mark", voices=voices)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda how: taken(server, kb, how), ["close", "keep-alive"]))
        status = server.stop()
    for n, promised, seconds in found:
        print(f"{n} of {promised} bytes in {seconds:.0f} s")
    return 0 if all(n == promised for n, promised, _ in found) and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
