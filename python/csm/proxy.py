# SPDX-License-Identifier: Apache-2.0
"""An ASGI application that starts `csm serve` and hands every request through to it, for frameworks
that place processes themselves (needs aiohttp)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

from .cli.command import COMMAND
from .worker import CommandDied, arguments, environment

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Of a connection, not of a message (RFC 9110, 7.6.1).
_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
               b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
# aiohttp makes these of a WebSocket itself.
_HANDSHAKE = {b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions",
              b"sec-websocket-protocol"}

# Runs its arguments until they end or its standard input does, which is when whoever started it is
# gone, however that came.
_LEASH = """exec 3<&0
"$@" 3<&- & child=$!
{ cat <&3 >/dev/null; kill "$child"; } 2>/dev/null & leash=$!
exec 3<&-
wait "$child"; code=$?
kill "$leash" 2>/dev/null
exit "$code"
"""


class Proxy:
    """Begun and ended by ASGI's lifespan: `csm serve` on a port of its own of the loopback address.

    Parameters
    ----------
    options : of `csm serve`, as csm.worker.arguments reads them

    Bytes go through as they come, WebSockets too. HTTP trailers do not: ASGI servers have none.
    A process that goes in the middle of an answer ends it as it ends without a proxy: broken off,
    so that no client takes a half for the whole. Without a process requests are answered with 503.
    """

    def __init__(self, **options: Any) -> None:
        for name in ("host", "port", "wyoming_port", "tls_cert", "tls_key"):
            if name in options:
                raise ValueError(f"{name}: whoever is in front of csm serve listens")
        self._arguments = arguments(options)
        self._process: asyncio.subprocess.Process | None = None
        self._address = ""
        self._session: aiohttp.ClientSession | None = None

    def check(self) -> None:
        """csm.worker.CommandDied: the process is gone."""
        if self._process is not None and self._process.returncode is not None:
            code = self._process.returncode
            raise CommandDied(f"csm serve: exit {code}", code)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._talk(scope, receive, send)
        else:
            await self._ask(scope, receive, send)

    # ---- the process ----------------------------------------------------------------

    async def _live(self, receive: _Receive, send: _Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _LEASH, "sh", str(COMMAND), "serve", "--port", "0", *self._arguments,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        if not line.startswith("listening on "):
            code = await self._process.wait()
            raise CommandDied(f"csm serve: exit {code}, see its message", code)
        self._address = line.removeprefix("listening on ").strip()
        self._session = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"))

    async def _stop(self) -> None:
        """It finishes what is being said."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        if self._session is not None:
            await self._session.close()

    # ---- HTTP -----------------------------------------------------------------------

    def _target(self, scope: _Scope) -> str:
        """The path as it came, but for the prefix under which the application is mounted."""
        path = scope.get("raw_path") or scope["path"].encode()
        root = scope.get("root_path", "").encode()
        if root and path.startswith(root):
            path = path[len(root):] or b"/"
        query = scope.get("query_string", b"")
        return self._address + (path + (b"?" + query if query else b"")).decode("latin-1")

    async def _ask(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        assert self._session is not None
        body = await _body(receive)
        if body is None:
            return
        from yarl import URL

        asking = asyncio.ensure_future(self._session.request(
            scope["method"], URL(self._target(scope), encoded=True), data=body or None,
            headers=_kept(scope["headers"]), allow_redirects=False))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return
            try:
                answer = asking.result()
            except aiohttp.ClientError:
                await _unavailable(send)
                return
            async with answer:
                await self._hand_over(answer, leaving, send)
        finally:
            asking.cancel()
            leaving.cancel()

    async def _hand_over(self, answer: aiohttp.ClientResponse, leaving: asyncio.Future[None],
                         send: _Send) -> None:
        await send({"type": "http.response.start", "status": answer.status,
                    "headers": [(n.lower(), v) for n, v in answer.raw_headers
                                if n.lower() not in _HOP_BY_HOP]})
        pieces: AsyncIterator[bytes] = answer.content.iter_any()
        while True:
            piece = asyncio.ensure_future(anext(pieces, b""))
            await asyncio.wait({piece, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():  # nobody listens: closing the answer ends the speech
                piece.cancel()
                return
            await send({"type": "http.response.body", "body": piece.result(),
                        "more_body": bool(piece.result())})
            if not piece.result():
                return

    # ---- WebSocket ------------------------------------------------------------------

    async def _talk(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        assert self._session is not None
        await receive()
        try:
            socket = await self._session.ws_connect(
                self._target(scope), headers=_kept(scope["headers"], _HANDSHAKE),
                protocols=scope.get("subprotocols", ()), max_msg_size=0, autoping=True)
        except aiohttp.WSServerHandshakeError as refused:
            await _refuse(scope, send, refused.status)
            return
        except aiohttp.ClientError:
            await _refuse(scope, send, 503)
            return
        async with socket:
            await send({"type": "websocket.accept", "subprotocol": socket.protocol})
            ways = {asyncio.ensure_future(_to_server(receive, socket)),
                    asyncio.ensure_future(_to_client(socket, send))}
            try:
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in done:
                    way.result()
            finally:
                for way in ways:
                    way.cancel()


async def _body(receive: _Receive) -> bytes | None:
    """None: the client went before it was whole."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _kept(headers: Any, others: set[bytes] = frozenset()) -> list[tuple[str, str]]:  # type: ignore[assignment]
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers
            if n.lower() not in _HOP_BY_HOP and n.lower() not in others
            and n.lower() != b"content-length"]


async def _unavailable(send: _Send) -> None:
    body = json.dumps({"error": {"message": "csm serve is gone, expected it to be started again",
                                 "type": "server_error", "param": None,
                                 "code": "unavailable"}}).encode()
    await send({"type": "http.response.start", "status": 503, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1")]})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: _Scope, send: _Send, status: int) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1008})


async def _to_server(receive: _Receive, socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await socket.close(code=message.get("code") or 1000)
            return
        if message.get("text") is not None:
            await socket.send_str(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


async def _to_client(socket: aiohttp.ClientWebSocketResponse, send: _Send) -> None:
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type == aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
    await send({"type": "websocket.close", "code": socket.close_code or 1011})
