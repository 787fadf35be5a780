# SPDX-License-Identifier: Apache-2.0
"""HTTP itself: what is read, what is refused, and in which envelope."""

import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from conftest import TEXT, dechunk, generate, wait_until

BODY = json.dumps({"input": TEXT, "response_format": "pcm", "seed": 1}).encode()


def head(*lines, request=b"POST /v1/audio/speech HTTP/1.1", host=b"Host: x"):
    return b"\r\n".join([request, host, *lines]) + b"\r\n\r\n"


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


def error_of(answer):
    """The envelope of an answer, which must have one."""
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


BROKEN = {
    "no http": (b"GARBAGE\r\n\r\n", 400),
    "two words": (b"GET /\r\n\r\n", 400),
    "other version": (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "nul in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
    "target without slash": (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "long header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20000 + b"\r\n\r\n", 431),
    "endless header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000, 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "two lengths": (head(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "length and chunks": (head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "length of letters": (head(b"Content-Length: five"), 400),
    "negative length": (head(b"Content-Length: -5"), 400),
    "huge length": (head(b"Content-Length: 99999999999"), 413),
    "other coding": (head(b"Transfer-Encoding: gzip, chunked"), 501),
    "wrong chunk": (head(b"Transfer-Encoding: chunked") + b"zz\r\n", 400),
    "chunk without its end": (head(b"Transfer-Encoding: chunked") + b"2\r\n{}xx", 400),
    "expectation": (head(b"Expect: miracles", b"Content-Length: 2"), 417),
    "packed body": (head(b"Content-Encoding: gzip", b"Content-Length: 2"), 415),
    "tls": (bytes.fromhex("16030100050100000103"), 400),
    "chunk too long for 32 bits": (head(b"Transfer-Encoding: chunked") + b"100000000\r\n", 400),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_http_is_answered_in_the_envelope(server, name):
    sent, status = BROKEN[name]
    answer = server.raw(sent)
    assert status_of(answer) == status and error_of(answer)["type"] in (
        "invalid_request_error", "server_error")
    assert b"\r\nConnection: close\r\n" in answer


def test_bodies_come_by_length_in_chunks_or_byte_by_byte(server):
    expected = generate(TEXT, 1)
    assert server.speak(seed=1) == expected
    chunked = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in (BODY[:7], BODY[7:])) + b"0\r\nA: b\r\n\r\n"
    close = b"Connection: close"
    answer = server.raw(head(b"Transfer-Encoding: chunked", close) + chunked)
    assert status_of(answer) == 200 and dechunk(answer) == expected
    with server.socket() as s:
        for byte in head(b"Content-Length: %d" % len(BODY), close) + BODY:
            s.sendall(bytes([byte]))
        received = b""
        while piece := s.recv(65536):
            received += piece
    assert dechunk(received) == expected


# What a request may look like, and the same request as most clients write it.
ALIKE = {
    "absolute": (b"GET http://x/health HTTP/1.1", [], b"/health"),
    "absolute over TLS": (b"GET https://x:1/health?a HTTP/1.1", [], b"/health"),
    "absolute without a path": (b"GET http://x HTTP/1.1", [], b"/"),
    "absolute, a query alone": (b"GET http://x?a=/b HTTP/1.1", [], b"/"),
    "a coding that is none": (b"GET /health HTTP/1.1", [b"Content-Encoding: identity"], b"/health"),
    "HTTP/1.0": (b"GET /health HTTP/1.0", [], b"/health"),
    "HTTP/1.0, both": (b"GET /health HTTP/1.0", [b"Connection: keep-alive"], b"/health"),
    "Connection in lines": (b"GET /health HTTP/1.1", [b"Connection: keep-alive"], b"/health"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_requests_that_mean_the_same_are_answered_the_same(server, name):
    request, lines, path = ALIKE[name]
    answer = server.raw(head(*lines, b"Connection: close", request=request))
    usual = server.raw(head(b"Connection: close", request=b"GET %s HTTP/1.1" % path))
    assert status_of(answer) == 200
    assert answer.split(b"\r\n\r\n")[1] == usual.split(b"\r\n\r\n")[1]


def test_json_is_read_however_it_is_written(server):
    expected = generate(TEXT, 42)
    for seed in "42", "42.0", "4.2e1":
        body = '{"input": "%s", "response_format": "pcm", "seed": %s}' % (TEXT, seed)
        for before in b"", b"\xef\xbb\xbf", b" \r\n\t":
            status, _, sound = server.request("POST", "/v1/audio/speech", before + body.encode())
            assert (status, sound) == (200, expected), (seed, before)
    chunk = b"0" * 20 + b"%X\r\n%s\r\n000\r\n\r\n" % (len(BODY), BODY)  # RFC 9112: 1*HEXDIG
    answer = server.raw(head(b"Transfer-Encoding: chunked", b"Connection: close") + chunk)
    assert dechunk(answer) == generate(TEXT, 1)
    for body in "null", "7", '"x"', "[]", "true":
        assert error_of(server.raw(head(b"Content-Length: %d" % len(body), b"Connection: close")
                                   + body.encode()))["message"] == "expected a JSON object"
    for seed in "42.5", "1e300", '"42"', "true":
        body = '{"input": "Hi.", "seed": %s}' % seed
        assert server.request("POST", "/v1/audio/speech", body)[0] == 400, seed


def test_expect_continue_is_answered_before_the_body(server):
    with server.socket() as s:
        s.sendall(head(b"Expect: 100-continue", b"Content-Length: %d" % len(BODY), b"Connection: close"))
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(BODY)
        assert s.recv(20).startswith(b"HTTP/1.1 200 OK")


def test_who_asks_and_sends_no_more_is_answered_at_once(server):
    """As `nc -N` does: all requests that came whole, in their order; speech is drawn for nobody."""

    def answers(sent, port=server.port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
            received = b""
            while piece := s.recv(65536):
                received += piece
        return received

    page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    whole = server.request("GET", "/")[2]
    assert answers(page * 5).count(whole) == 5
    assert answers(page * 300).count(whole) == 300  # more than waits for a client at once
    assert status_of(answers(head(b"Content-Length: 1") + b"{")) == 400
    assert answers(head(b"Content-Length: %d" % len(BODY)) + BODY) == b"" == answers(page[:-2])
    assert wait_until(lambda: server.metric("csm_requests_running") == 0)
    describe = b'{"type": "describe"}\n'
    assert json.loads(answers(describe, server.wyoming_port).split(b"\n")[0])["type"] == "info"
    n_before = server.n_descriptors()
    for port, asked in (server.port, page * 3000), (server.wyoming_port, describe * 9000):
        for _ in range(5):  # who leaves while much waits for it leaves nothing behind: an end, and a reset
            with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                s.sendall(asked)
                time.sleep(0.05)
                s.shutdown(socket.SHUT_WR)
    assert wait_until(lambda: server.n_descriptors() <= n_before)


def test_requests_follow_each_other_on_one_connection(server):
    one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = server.raw(one + one + b"\r\n" + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    connection = server.connect()
    for _ in range(3):
        connection.request("POST", "/v1/audio/speech", BODY)
        assert connection.getresponse().read() == generate(TEXT, 1)
    connection.close()


def test_who_asks_on_and_takes_nothing_has_little_memory(start):
    """Answers that are not taken hold up what is asked behind them; at the end none is cut."""
    s = start()
    before = s.rss_kb()
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 3000  # 93 MB
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(10)
        greedy.connect(("127.0.0.1", s.port))
        greedy.sendall(asked)
        assert not wait_until(lambda: s.rss_kb() - before > 8000, timeout=1)
        assert s.request("GET", "/health")[0] == 200
        s.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: any("signal 15" in line for line in s.log))
        taken = b""
        while piece := greedy.recv(65536):
            taken += piece
    one = re.match(rb".*?Content-Length: (\d+)\r\n\r\n", taken, re.S)
    cut = taken.split(b"HTTP/1.1 200 OK")[1:]
    assert len(cut) > 1 and all(len(each.split(b"\r\n\r\n", 1)[1]) == int(one[1]) for each in cut)
    assert s.stop() == 0


def test_who_finds_no_place_waits_for_one(start):
    s = start("--max-sockets", 8)
    held = []
    for _ in range(8):
        held.append(s.socket())
        time.sleep(0.02)  # accepted, and nothing said yet
        held[-1].sendall(head(b"Expect: 100-continue", b"Content-Length: 2"))
        assert status_of(held[-1].recv(65536)) == 100
    with s.socket() as late:
        late.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.recv(1)
        held[0].sendall(b"{}")  # answered, and idle from then on
        assert status_of(held[0].recv(65536)) == 400
        late.settimeout(10)
        assert status_of(late.recv(65536)) == 200
    for each in held[1:]:
        each.sendall(b"{}")
        assert status_of(each.recv(65536)) == 400
    for each in held:
        each.close()
    assert s.stop() == 0


def test_who_comes_when_descriptors_are_out_waits(start):
    s = start()
    stat = pathlib.Path(f"/proc/{s.process.pid}/stat")
    kept = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (s.n_descriptors(), kept[1]))
    with s.socket(5) as waiting:
        waiting.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        before = sum(map(int, stat.read_text().split()[13:15]))
        assert select.select([waiting], [], [], 0.5)[0] == []
        assert sum(map(int, stat.read_text().split()[13:15])) - before < 10  # of 50: it does not ask again and again
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, kept)
        assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")  # with nobody's end to wake it
    assert s.stop() == 0


def test_http_10_gets_the_sound_without_chunks(server):
    answer = server.raw(b"POST /v1/audio/speech HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    header, sound = answer.split(b"\r\n\r\n", 1)
    assert b"chunked" not in header and sound == generate(TEXT, 1)


def test_head_and_unknown_routes_and_methods(server):
    assert server.request("HEAD", "/health")[0] == 200
    assert server.request("GET", "/nothing")[0] == 404
    status, _, answer = server.request("PUT", "/v1/audio/speech", "{}")
    assert status == 405 and json.loads(answer)["error"]["code"] == "method_not_allowed"
    # RFC 9110: 405 has Allow, and OPTIONS is there to ask for it, also of no path.
    for path, methods in (("/v1/audio/speech", {"POST"}), ("/health", {"GET", "HEAD"}),
                          ("/v1/audio/voices/x", {"GET", "HEAD", "DELETE"})):
        status, headers, _ = server.request("OPTIONS", path)
        assert status == 204 and set(headers["Allow"].split(", ")) == {"OPTIONS", *methods}
        status, refused, _ = server.request("TRACE", path)
        assert status == 405 and refused["Allow"] == headers["Allow"]
    assert server.request("OPTIONS", "*")[0] == 204 and server.request("OPTIONS", "/nothing")[0] == 404
    assert server.request("GET", "/v1/audio/speech/stream")[0] == 426
    assert server.request("GET", "/v1/audio/voices/%zz")[0] == 400
    assert server.request("GET", "/v1/audio/voices/a%2Fb")[0] == 404


def test_request_id_is_the_clients_or_ours(server):
    assert server.request("GET", "/health", headers={"X-Request-Id": "abc-1"})[1]["X-Request-Id"] == "abc-1"
    assert server.request("GET", "/health", headers={"X-Request-Id": 'a"b'})[1]["X-Request-Id"].startswith("req_")
    ids = {server.request("GET", "/health")[1]["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_curl_speaks(server, tmp_path):
    out = tmp_path / "speech.mp3"
    done = subprocess.run(["curl", "-sS", "--fail", "-o", out, "-w", "%{content_type}",
                           server.base + "/v1/audio/speech", "-H", "Content-Type: application/json",
                           "-d", json.dumps({"model": "tts-1", "input": TEXT, "voice": "alloy"})],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "audio/mpeg"
    assert out.read_bytes().startswith(b"\xff\xf3")


def test_models_health_and_metrics(server):
    names = [m["id"] for m in json.loads(server.request("GET", "/v1/models")[2])["data"]]
    assert "tts-1" in names and "gpt-4o-mini-tts" in names
    assert [m["id"] for m in json.loads(server.request("GET", "/v1/audio/models")[2])["models"]] == names
    assert json.loads(server.request("GET", "/v1/models/tts-1")[2])["object"] == "model"
    for none in "none", "sesame/csm-1b", "sesame%2Fcsm-1b":
        status, _, answer = server.request("GET", f"/v1/models/{none}")
        assert status == 404 and json.loads(answer)["error"]["code"] == "model_not_found"
    assert json.loads(server.request("GET", "/health")[2])["status"] == "ok"
    before = server.metric("csm_frames_total")
    n = len(server.speak(seed=1)) // 3840
    assert wait_until(lambda: server.metric("csm_frames_total") == before + n)
    text = server.request("GET", "/metrics")[2].decode()
    for line in text.splitlines():
        assert re.match(r"# (HELP|TYPE) |[a-z_]+(\{.*\})? [0-9.e+-]+$", line), line


# ---- who may ask -----------------------------------------------------------------------


def test_a_key_is_asked_for_and_compared_whole(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst-key\n \tsecond-key \n  # no-key\n")
    s = start("--api-key-file", keys)
    status, headers, answer = s.request("POST", "/v1/audio/speech", BODY)
    assert status == 401 and json.loads(answer)["error"]["code"] == "invalid_api_key"
    assert headers["WWW-Authenticate"] == "Bearer"
    for key, expected in (("first-key", 200), ("second-key", 200), ("first-ke", 401), ("first-keyy", 401),
                          ("no-key", 401), ("#", 401), ("", 401)):
        assert s.request("GET", "/v1/models", headers={"Authorization": "Bearer " + key})[0] == expected
    for public in ("/", "/health", "/openapi.json"):
        assert s.request("GET", public)[0] == 200
    assert s.request("GET", "/metrics")[0] == 401
    # A body is not read for who may not ask.
    assert status_of(s.raw(head(b"Content-Length: 10000000"))) == 401


def test_a_line_of_keys_that_is_too_long_is_no_key_and_a_half(csm, tmp_path):
    keys = tmp_path / "keys"
    for line in "k" * 511, "#" + "k" * 600:
        keys.write_text(line + "\n")
        done = csm("serve", "--api-key-file", keys, "--port", 0, check=False)
        assert done.returncode == 3 and done.stderr == f"csm: {keys}: a line longer than 510 characters\n"


def test_elsewhere_than_on_loopback_a_key_is_demanded(csm):
    done = csm("serve", "--host", "0.0.0.0", "--port", 0, check=False)
    assert done.returncode == 2 and "--api-key-file" in done.stderr and "--no-auth" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# Addresses of a name, one of them twice, one of another machine, as a resolver gives them.
RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    static const char *const all[] = {"127.0.0.1", "127.0.0.1", "192.0.2.1", "127.0.0.2"};
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (host == NULL || strcmp(host, "several.test") != 0)
        return real(host, service, hints, out);
    for (int i = 0; i < 4; i++) {
        const int wrong = real(all[i], service, hints, out);
        if (wrong != 0)
            return wrong;
        out = &(*out)->ai_next;
    }
    return 0;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of its own, and LD_PRELOAD: Linux")
def test_a_name_is_listened_to_at_all_its_addresses(start, tmp_path, monkeypatch):
    (tmp_path / "resolver.c").write_text(RESOLVER)
    library = tmp_path / "resolver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "resolver.c", "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    s = start("--host", "several.test", "--no-auth")
    monkeypatch.undo()
    for address in "127.0.0.1", "127.0.0.2":
        with socket.create_connection((address, s.port), timeout=10) as c:
            c.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert c.recv(12) == b"HTTP/1.1 200"
    assert s.stop() == 0  # and its log is whole
    missed = [line for line in s.log if "not all its addresses" in line]
    assert len(missed) == 1 and f"192.0.2.1, port {s.port}: " in missed[0] and "127.0.0.1" not in missed[0]


def test_pages_of_other_origins_may_not_ask(server, start):
    other = {"Origin": "https://example.org"}
    status, headers, answer = server.request("POST", "/v1/audio/speech", BODY, other)
    assert status == 403 and "Access-Control-Allow-Origin" not in headers
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert server.request("POST", "/v1/audio/speech", BODY, own)[0] == 200
    # A name of somebody else's that points here (DNS rebinding) is no page of ours.
    rebound = {"Host": f"example.org:{server.port}", "Origin": f"http://example.org:{server.port}"}
    assert server.request("POST", "/v1/audio/speech", BODY, rebound)[0] == 403
    s = start("--allow-origin", "https://example.org")
    # The headers that OpenAI's JavaScript client has, of which some are its own.
    asked = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
    status, headers, _ = s.request("OPTIONS", "/v1/audio/speech", headers={
        **other, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked})
    assert status == 204 and "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == asked
    assert "Access-Control-Allow-Private-Network" not in headers
    assert s.request("OPTIONS", "/v1/audio/speech", headers={
        **other, "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true",
    })[1]["Access-Control-Allow-Private-Network"] == "true"
    status, headers, _ = s.request("POST", "/v1/audio/speech", BODY, other)
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert s.request("GET", "/health", headers={"Origin": "https://example.com"})[0] == 403


def test_nothing_of_a_text_is_in_the_log(start):
    s = start()
    s.speak("A secret about penguins.", seed=1)
    s.request("POST", "/v1/audio/speech", '{"input": "penguins"')
    s.stop()
    assert not any("penguin" in line for line in s.log)
    s = start("--log-format", "json", "--log-text")
    s.speak("A secret about penguins.", seed=1)
    s.stop()
    lines = [json.loads(line) for line in s.log]
    assert any(line.get("text") == "A secret about penguins." for line in lines)
    assert any(line.get("status") == 200 and line["path"] == "/v1/audio/speech" for line in lines)


def test_tls(start, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                    cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    s = start("--tls-cert", cert, "--tls-key", key)
    assert s.base.startswith("https://")
    done = subprocess.run(["curl", "-sS", "--cacert", cert, s.base + "/v1/audio/speech", "-d", BODY],
                          capture_output=True, check=True)
    assert done.stdout == generate(TEXT, 1)
    answer = s.raw(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    assert status_of(answer) == 400 and "https://" in error_of(answer)["message"]
    assert s.stop() == 0


def test_keys_and_a_certificate_are_read_again(start, tmp_path):
    """At SIGHUP, for those who come then; a file that cannot be read changes nothing."""
    keys, cert, key = tmp_path / "keys", tmp_path / "cert.pem", tmp_path / "key.pem"

    def certify(name, *locked):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout",
                        key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", *(locked or ["-nodes"])],
                       check=True, capture_output=True)

    def told(what):
        s.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: any(what in line for line in s.log)), s.log
        s.log.clear()

    def status(given):
        return int(subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", s.base + "/v1/models", "-H",
                                   f"Authorization: Bearer {given}"], capture_output=True, check=True).stdout)

    keys.write_text("old\n")
    certify("old")
    stdin, (silent, held) = os.dup(0), os.pipe()  # where a passphrase would be asked for
    os.dup2(silent, 0)
    s = start("--api-key-file", keys, "--tls-cert", cert, "--tls-key", key)
    os.dup2(stdin, 0)
    assert (status("old"), status("new")) == (200, 401)
    first = ssl.get_server_certificate(("127.0.0.1", s.port))
    keys.write_text("new\n")
    certify("new")
    told(f"{cert}: read again")
    assert (status("old"), status("new")) == (401, 200)
    assert ssl.get_server_certificate(("127.0.0.1", s.port)) == cert.read_text() != first
    keys.write_text("# none\n")
    cert.write_text("none")
    told("the certificate of before is kept")
    assert (status("old"), status("new")) == (401, 200)
    certify("locked", "-passout", "pass:secret")  # nobody is there to be asked
    told("the certificate of before is kept")
    assert status("new") == 200
    for each in stdin, silent, held:
        os.close(each)
    assert s.stop() == 0


def test_a_request_that_does_not_come_is_given_up(server):
    """The limits of time: ten seconds for a head, and nothing for a connection that says nothing."""
    began = time.monotonic()
    with server.socket(timeout=20) as s:
        s.sendall(b"GET /health HTTP/1.1\r\n")
        received = s.recv(65536)
    assert 9 < time.monotonic() - began < 12
    assert status_of(received) == 408 and error_of(received)
