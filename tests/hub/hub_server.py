# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine, as far as a download sees one, and its storage on another port.

Speaks what huggingface.co speaks to huggingface_hub 2.4: the commit of a revision, the
list of files (in pages), HEAD and GET of a file with ETag, X-Repo-Commit and X-Linked-*,
a redirect of large files to a storage that knows no tokens, ranges. `faults` makes it
misbehave.
"""

import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(content):
    return (f"version https://git-lfs.github.com/spec/v1\noid sha256:"
            f"{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n").encode()


class Repo:
    """Files at one commit. `large`: a file of so many bytes lies in the storage."""

    def __init__(self, files, revisions=("main",), large=1000, xet=()):
        self.files = files
        self.large = large
        self.xet = set(xet)
        self.commit = git_sha1(repr(sorted(files.items())).encode())
        self.revisions = set(revisions)
        self.token = None         # who may see it
        self.gated = False

    def is_large(self, path):
        return len(self.files[path]) >= self.large

    def etag(self, path):
        content = self.files[path]
        return hashlib.sha256(content).hexdigest() if self.is_large(path) else git_sha1(content)

    def xet_hash(self, path):
        return hashlib.sha256(b"xet" + self.files[path]).hexdigest()

    def tree(self):
        entries = []
        for path, content in sorted(self.files.items()):
            entry = {"type": "file", "oid": git_sha1(content), "size": len(content), "path": path}
            if self.is_large(path):
                pointer = lfs_pointer(content)
                entry["oid"] = git_sha1(pointer)
                entry["lfs"] = {"oid": self.etag(path), "size": len(content),
                                "pointerSize": len(pointer)}
            if path in self.xet:
                entry["xetHash"] = self.xet_hash(path)
            entries.append(entry)
        directories = {p.rsplit("/", 1)[0] for p in self.files if "/" in p}
        return [{"type": "directory", "oid": "0" * 40, "size": 0, "path": d}
                for d in sorted(directories)] + entries


class Server:
    """Two HTTP servers of one set of repositories: `hub.url` and its storage."""

    def __init__(self, repos):
        self.repos = repos
        self.requests = []        # (method, where, path, headers)
        self.faults = []          # functions of (handler, where, path): True when they answered
        self.page = 1000
        self.sent = 0             # bytes of files
        self.on_sent = None       # called with their number before a piece goes out
        self.piece = 1 << 16
        self._servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler(where))
                         for where in ("hub", "storage")]
        self.url, self.storage_url = (f"http://127.0.0.1:{s.server_port}" for s in self._servers)
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail_once(self, match, answer):
        """The next request whose path holds `match` gets `answer(handler)`."""
        def fault(handler, where, path):
            if match not in path or handler.command != "GET":
                return False
            self.faults.remove(fault)
            answer(handler)
            return True
        self.faults.append(fault)

    def fail_always(self, match, answer):
        def fault(handler, where, path):
            if match in path:
                answer(handler)
            return match in path
        self.faults.append(fault)

    def count(self, match):
        return sum(match in path for _, _, path, _ in self.requests)

    def _handler(hub, where):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, code, body=b"", **headers):
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), str(value))
                if "Content_Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                path = urllib.parse.unquote(self.path)
                hub.requests.append((self.command, where, path, dict(self.headers)))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if not any(fault(self, where, path) for fault in list(hub.faults)):
                        (hub._api if path.startswith("/api/") else hub._file)(self, where, path)

        return Handler

    def _may_see(self, handler, name, repo):
        token = handler.headers.get("Authorization")
        if repo is None or (repo.token and not repo.gated and token != f"Bearer {repo.token}"):
            handler.reply(401 if token is None else 404, X_Error_Code="RepoNotFound",
                          X_Error_Message="Repository not found")
            return False
        return True

    def _api(self, handler, where, path):
        path, _, query = path.partition("?")
        parts = path.split("/")
        name, verb, revision = "/".join(parts[3:5]), parts[5:6], "/".join(parts[6:]) or "main"
        repo = self.repos.get(name)
        if not self._may_see(handler, name, repo):
            return
        if revision != repo.commit and revision not in repo.revisions:
            handler.reply(404, X_Error_Code="RevisionNotFound")
        elif verb == ["tree"]:
            start = int(dict(urllib.parse.parse_qsl(query)).get("cursor", 0))
            tree = repo.tree()
            more = {}
            if start + self.page < len(tree):
                more["Link"] = (f'<{self.url}{path}?recursive=True&cursor={start + self.page}>; '
                                'rel="next"')
            handler.reply(200, json.dumps(tree[start:start + self.page]).encode(),
                          Content_Type="application/json", **more)
        else:
            handler.reply(200, json.dumps({
                "id": name, "modelId": name, "sha": repo.commit, "private": False,
                "siblings": [{"rfilename": f} for f in repo.files], "tags": [],
                "downloads": 0, "likes": 0}).encode(), Content_Type="application/json")

    def _file(self, handler, where, path):
        if where == "storage":
            content = next(r.files[p] for r in self.repos.values() for p in r.files
                           if r.is_large(p) and r.etag(p) == path.strip("/"))
            return self._send(handler, content, ETag=f'"{path.strip("/")}"')
        name, _, rest = path.strip("/").partition("/resolve/")
        repo = self.repos.get(name)
        if not self._may_see(handler, name, repo):
            return
        revision, _, file = rest.partition("/")
        if revision != repo.commit and revision not in repo.revisions:
            return handler.reply(404, X_Error_Code="RevisionNotFound")
        if repo.gated and handler.headers.get("Authorization") != f"Bearer {repo.token}":
            has_token = handler.headers.get("Authorization") is not None
            return handler.reply(403 if has_token else 401, X_Error_Code="GatedRepo",
                                 X_Error_Message="Access to this repository is restricted")
        if file not in repo.files:
            return handler.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=repo.commit)
        content, etag = repo.files[file], repo.etag(file)
        if not repo.is_large(file):
            return self._send(handler, content, ETag=f'W/"{etag}"', X_Repo_Commit=repo.commit)
        handler.reply(302, b"Found. Redirecting", Location=f"{self.storage_url}/{etag}",
                      X_Repo_Commit=repo.commit, X_Linked_ETag=f'"{etag}"',
                      X_Linked_Size=len(content), ETag='"another"')

    def _send(self, handler, content, **headers):
        start, code = 0, 200
        wanted = handler.headers.get("Range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                return handler.reply(416, Content_Range=f"bytes */{len(content)}")
            code = 206
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.reply(code, Content_Length=len(content) - start, Accept_Ranges="bytes", **headers)
        if handler.command == "HEAD":
            return
        while start < len(content):
            piece = content[start:start + self.piece]
            if self.on_sent:
                self.on_sent(self.sent)
            handler.wfile.write(piece)
            start += len(piece)
            self.sent += len(piece)
