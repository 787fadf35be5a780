# SPDX-License-Identifier: Apache-2.0
"""csm download at a hub of this machine: what is taken, what is said, what goes on."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest

from conftest import WANTED, snapshot, some_model, tree_of
from hub_server import Repo

BIG = "transformers-00001-of-00002.safetensors"


def test_takes_what_a_csm_needs_and_prints_the_directory(hub, download):
    repo = hub.repos["org/model"]
    done = download()
    assert snapshot(done) == {name: repo.files[name] for name in WANTED}
    assert done.stdout == f"{download.cache}/models--org--model/snapshots/{repo.commit}\n"
    assert done.stderr == ""
    folder = download.cache / "models--org--model"
    assert (folder / "refs" / "main").read_bytes() == repo.commit.encode()
    assert os.readlink(folder / "snapshots" / repo.commit / BIG) == f"../../blobs/{repo.etag(BIG)}"
    assert {p.name for p in (folder / "blobs").iterdir()} == {repo.etag(n) for n in WANTED}
    assert sorted(p.name for p in (folder / ".no_exist" / repo.commit).iterdir()) == [
        "adapter_config.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json",
        "voices.json"]
    assert (download.cache / "CACHEDIR.TAG").read_bytes().startswith(
        b"Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_second_download_asks_for_the_commit_alone(hub, download):
    first = download()
    hub.requests.clear()
    assert download().stdout == first.stdout
    assert [path for _, _, path, _ in hub.requests] == ["/api/models/org/model/revision/main"]
    hub.requests.clear()
    assert download("--revision", hub.repos["org/model"].commit).stdout == first.stdout
    assert hub.requests == []


def test_a_new_commit_takes_what_has_changed(hub, download):
    download()
    files = {**some_model(), "config.json": b'{"model_type": "csm", "other": 1}'}
    hub.repos["org/model"] = Repo(files)
    hub.requests.clear()
    assert snapshot(download())["config.json"] == files["config.json"]
    assert [p for _, _, p, _ in hub.requests if "/resolve/" in p] == [
        f"/org/model/resolve/{hub.repos['org/model'].commit}/config.json"]


def test_revisions_with_slashes_and_the_list_in_pages(hub, download):
    hub.page = 2
    done = download("--revision", "refs/pr/1")
    assert set(snapshot(done)) == WANTED
    assert (download.cache / "models--org--model/refs/refs/pr/1").read_text() == \
        hub.repos["org/model"].commit


def test_one_file_of_weights_a_codec_beside_them_and_a_named_file(hub, download):
    files = {"config.json": b"{}", "model.safetensors": b"w" * 2000, "other.safetensors": b"o",
             "mimi.safetensors": b"m" * 2000, "pytorch_model.bin": b"p", "sub/x.txt": b"x"}
    hub.repos["org/model"] = Repo(files)
    assert set(snapshot(download())) == {"config.json", "model.safetensors", "mimi.safetensors"}
    assert "sub/x.txt" in snapshot(download("--file", "sub/x.txt"))
    refused = download("--file", "no.txt")
    assert (refused.returncode, refused.stderr) == (
        3, "csm: org/model: no file no.txt at revision main\n")


def test_config_json_may_name_the_weights(hub, download):
    files = {"config.json": b'{"transformers_weights": "b.safetensors.index.json"}',
             "model.safetensors": b"w" * 2000, "sub/1.safetensors": b"1" * 2000,
             "b.safetensors.index.json": b'{"weight_map": {"x": "sub/1.safetensors"}}'}
    hub.repos["org/model"] = Repo(files)
    assert set(snapshot(download())) == files.keys() - {"model.safetensors"}
    files["config.json"] = b'{"transformers_weights": "../b.safetensors"}'
    hub.repos["org/model"] = Repo(files)
    assert "which config.json names" in refusal(download())
    files["config.json"] = b"[]"
    hub.repos["org/model"] = Repo(files)
    assert "expected a JSON object" in refusal(download())


def test_without_links_files_lie_in_the_snapshot(hub, download):
    done = download(HF_HUB_DISABLE_SYMLINKS="1")
    assert set(snapshot(done)) == WANTED
    assert not any(kind == "link" for kind, _ in tree_of(download.cache).values())
    hub.requests.clear()
    assert download(HF_HUB_DISABLE_SYMLINKS="1").stdout == done.stdout
    assert len(hub.requests) == 1


def test_gguf_files_one_is_taken_of_several_one_is_named(hub, download):
    hub.repos["org/model"] = Repo({"a.gguf": b"a" * 2000})
    assert set(snapshot(download())) == {"a.gguf"}
    hub.repos["org/model"] = Repo({"a.gguf": b"a" * 2000, "b.gguf": b"b"})
    refused = download()
    assert (refused.returncode, refused.stderr) == (
        2, "csm: org/model: several GGUF files (a.gguf, b.gguf), expected the one to take: "
           "csm download org/model --file F\n")
    assert "b.gguf" in snapshot(download("--file", "b.gguf"))


def test_a_pickle_is_not_taken(hub, download):
    hub.repos["org/model"] = Repo({"config.json": b"{}", "ckpt.pt": b"p" * 2000})
    refused = download()
    assert refused.returncode == 3 and "ckpt.pt is a pickle" in refused.stderr
    assert hub.count("ckpt.pt") == 0


# ---- who may see it, and where the token goes

def test_the_token_goes_to_the_hub_alone(hub, download):
    hub.repos["org/model"].token = "hf_secret"
    assert set(snapshot(download(HF_TOKEN=" hf_secret\n"))) == WANTED
    for _, where, _, headers in hub.requests:
        assert headers.get("Authorization") == ("Bearer hf_secret" if where == "hub" else None)


def test_where_the_token_comes_from(hub, download, tmp_path):
    hub.repos["org/model"].token = "hf_secret"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text("hf_secret\n")
    (tmp_path / "elsewhere").write_text("hf_secret")
    assert download(HF_HUB_DISABLE_IMPLICIT_TOKEN="1").returncode == 3
    assert download(HF_TOKEN="hf_wrong").returncode == 3
    assert download(HF_TOKEN_PATH="$HOME/nowhere").returncode == 3
    for more in ({}, {"HUGGING_FACE_HUB_TOKEN": "hf_secret"}, {"HF_TOKEN_PATH": "~/elsewhere"}):
        assert set(snapshot(download(**more))) == WANTED
        subprocess.run(["rm", "-r", download.cache], check=True)
    refused = download(HF_TOKEN="hf_a\r\nX-Evil: 1")
    assert refused.returncode == 2 and "control character" in refused.stderr


def test_where_the_cache_is(hub, download, tmp_path):
    def root(**more):
        return download(**more).stdout.split("/models--")[0]
    assert root() == f"{tmp_path}/home/hub"
    assert root(HF_HOME="", XDG_CACHE_HOME=f"{tmp_path}/x") == f"{tmp_path}/x/huggingface/hub"
    assert root(HF_HOME="") == f"{tmp_path}/.cache/huggingface/hub"
    assert root(HF_HOME="~/y", HOME=str(tmp_path)) == f"{tmp_path}/y/hub"
    assert root(HUGGINGFACE_HUB_CACHE=f"{tmp_path}/old") == f"{tmp_path}/old"
    assert root(HUGGINGFACE_HUB_CACHE="/nowhere", HF_HUB_CACHE="${HOME}/new") == f"{tmp_path}/new"


def refusal(done, code=3):
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("csm: ")
    return done.stderr


def test_refusals_are_said_as_what_they_are(hub, download):
    repo = hub.repos["org/model"]
    assert "no such repository at " in refusal(download(repo="org/none"))
    assert "HF_TOKEN" in refusal(download(repo="org/none"))
    assert "that this token may not see" in refusal(download(repo="org/none", HF_TOKEN="hf_a"))
    assert "no revision 'none'" in refusal(download("--revision", "none"))
    repo.token, repo.gated = "hf_ok", True
    assert f"accept the terms at {hub.url}/org/model, then set HF_TOKEN" in refusal(download())
    assert "this token's account has not been let in" in refusal(download(HF_TOKEN="hf_other"))
    assert set(snapshot(download(HF_TOKEN="hf_ok"))) == WANTED


def test_mistakes_are_refused_before_anybody_is_asked(hub, download):
    for repo in ("model", "a/b/c", "../x", "a--b/c", "a/b.git", "a/..", "a b/c", "/a/b"):
        assert "expected ORG/NAME" in refusal(download(repo=repo), 2)
    assert "expected ORG/NAME" in refusal(download("-a/b", repo="--"), 2)
    for revision in ("../../x", "/etc", "a//b", "a\nb", ""):
        assert "expected a branch, a tag or a commit" in refusal(
            download("--revision", revision), 2)
    assert "expected http:// or https://" in refusal(download("--endpoint", "file:///etc"), 2)
    assert "expected a name in the repository" in refusal(download("--file", "../x"), 2)
    assert "HF_HUB_DOWNLOAD_TIMEOUT" in refusal(download(HF_HUB_DOWNLOAD_TIMEOUT="soon"), 2)
    assert hub.requests == []


# ---- offline

def test_offline_takes_the_cache_and_asks_nobody(hub, download):
    assert refusal(download("--offline")) == (
        "csm: org/model: not in the hub cache: csm download org/model brings it\n")
    first = download()
    hub.requests.clear()
    for more in ({"HF_HUB_OFFLINE": "1"}, {"TRANSFORMERS_OFFLINE": "yes"}, {"HF_HUB_OFFLINE": "On"}):
        assert download(**more).stdout == first.stdout
    assert download("--offline", "--revision", hub.repos["org/model"].commit).stdout == first.stdout
    assert hub.requests == []
    next((download.cache / "models--org--model/blobs").glob(
        hub.repos["org/model"].etag(BIG))).write_bytes(b"cut")
    assert "not whole in the hub cache" in refusal(download("--offline"))


def test_a_hub_that_is_not_reached_leaves_the_cache(hub, download):
    first = download()
    gone = download("--endpoint", "http://127.0.0.1:9")
    assert gone.stdout == first.stdout
    assert gone.stderr.endswith(": the cache's copy is taken\n") and "127.0.0.1" in gone.stderr
    assert "127.0.0.1" in refusal(download("--endpoint", "http://127.0.0.1:9", repo="org/other"))


# ---- what may pass

def test_busy_hubs_are_asked_again(hub, download):
    hub.fail_once("/revision/", lambda h: h.reply(429, Retry_After=0))
    hub.fail_once("/tree/", lambda h: h.reply(503, Retry_After=0))
    hub.fail_once(BIG, lambda h: h.reply(408, Retry_After=0))
    hub.fail_once(hub.repos["org/model"].etag(BIG), lambda h: h.reply(500))
    done = download()
    assert set(snapshot(done)) == WANTED
    assert done.stderr.count("trying again in 0.0 s") == 3
    assert done.stderr.count("trying again in 1.0 s") == 1  # a second failure
    assert download("--quiet").stderr == ""


def test_five_refusals_are_enough_and_a_long_wait_is_none(hub, download):
    hub.fail_always("/revision/", lambda h: h.reply(429, Retry_After=0))
    done = download("--quiet")
    assert "too many requests (429)" in refusal(done)
    assert hub.count("/revision/") == 5
    hub.faults.clear()
    hub.fail_once("/revision/", lambda h: h.reply(503, Retry_After=4000))
    assert "come back in 4000 seconds" in refusal(download())


def break_off(hub, after):
    """The storage ends each answer after so many bytes."""
    def fault(handler, where, path):
        if where != "storage":
            return False
        content = next(c for c in hub.repos["org/model"].files.values()
                       if hashlib.sha256(c).hexdigest() == path.strip("/"))
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:start + after])
        handler.close_connection = True
        return True
    hub.faults.append(fault)


def test_a_broken_line_goes_on_where_it_was(hub, download):
    break_off(hub, 130_000)
    done = download()
    assert snapshot(done)[BIG] == hub.repos["org/model"].files[BIG]
    ranges = [h.get("Range") for _, where, p, h in hub.requests
              if where == "storage" and hub.repos["org/model"].etag(BIG) in p]
    assert ranges == [None, "bytes=130000-", "bytes=260000-"]


def test_a_server_without_ranges_sends_all_of_it(hub, download):
    def fault(handler, where, path):
        if where == "storage" and handler.headers.get("Range"):
            del handler.headers["Range"]
        return False
    hub.fail_once(hub.repos["org/model"].etag(BIG), lambda h: (
        h.reply(200, b"", Content_Length=300_000),
        h.wfile.write(hub.repos["org/model"].files[BIG][:70_000]),
        setattr(h, "close_connection", True)))
    hub.faults.append(fault)
    assert snapshot(download())[BIG] == hub.repos["org/model"].files[BIG]


def test_a_hub_that_says_nothing_is_left(hub, download):
    stop = threading.Event()
    hub.fail_always("/revision/", lambda h: stop.wait(20))
    start = time.monotonic()
    assert "/revision/main: " in refusal(download("--quiet", HF_HUB_ETAG_TIMEOUT="1"))
    assert time.monotonic() - start < 10  # seconds; one try, of one and what libcurl adds
    stop.set()


# ---- what a hostile server may try

def test_names_that_lead_out_are_refused(hub, download):
    for name in ("../../evil.safetensors", "/tmp/evil", "a/../../evil", "a//b", "x\n.safetensors"):
        tree = hub.repos["org/model"].tree() + [
            {"type": "file", "oid": "0" * 40, "size": 1, "path": name}]
        hub.fail_once("/tree/", lambda h, t=tree: h.reply(200, json.dumps(t).encode()))
        assert "expected a name below the repository" in refusal(download())
    assert not list(download.cache.rglob("*evil*"))


def test_sums_and_commits_that_are_none_are_refused(hub, download):
    hub.fail_once("/revision/", lambda h: h.reply(200, json.dumps({"sha": "../../x"}).encode()))
    assert "expected JSON with the commit's 40 digits" in refusal(download())
    for key, value in (("oid", "../../../x"), ("oid", "A" * 40), ("xetHash", "x"), ("size", 1 << 60),
                       ("size", -1), ("lfs", {"oid": "..", "size": 1}), ("oid", None)):
        tree = [{"type": "file", "oid": "0" * 40, "size": 1, "path": "config.json", key: value}]
        hub.fail_once("/tree/", lambda h, t=tree: h.reply(200, json.dumps(t).encode()))
        assert "/tree/" in refusal(download())


def test_answers_that_are_no_json_are_refused(hub, download, tmp_path):
    for body in (b"", b"<html>", b'{"sha": 1}', b"[" * 100_000, b'{"sha": "\xff"}', b"[]"):
        hub.fail_once("/revision/", lambda h, b=body: h.reply(200, b))
        assert "expected JSON" in refusal(download())
        hub.fail_once("/tree/", lambda h, b=body: h.reply(200, b))
        assert ("no weights" if body == b"[]" else "expected a JSON array") in refusal(download())


def test_lengths_that_lie_are_refused(hub, download):
    etag = hub.repos["org/model"].etag(BIG)
    content = hub.repos["org/model"].files[BIG]
    for length in (10, 299_999, 300_001, 1 << 60):
        hub.fail_once(etag, lambda h, n=length: (
            h.reply(200, b"", Content_Length=n), h.wfile.write(content[:min(n, 1000)]),
            setattr(h, "close_connection", True)))
        assert "as the hub listed it" in refusal(download())


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(b"[" + b" " * 65536)
    except OSError:
        pass


def test_bodies_without_end_are_ended(hub, download):
    for match, said in (("/revision/", "an answer of more than 16000000 bytes"),
                        ("/tree/", "an answer of more than 16000000 bytes"),
                        (hub.repos["org/model"].etag(BIG), "more than 300000 bytes come")):
        hub.fail_once(match, endless)
        assert said in refusal(download())


def test_heads_without_end_are_ended(hub, download):
    def head(handler):
        handler.send_response(200)
        for i in range(100_000):
            handler.send_header(f"X-{i}", "y" * 100)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    hub.fail_once("/revision/", head)
    done = download()
    assert done.returncode == 3 and done.stderr.count("\n") == 1


def test_redirects_lead_to_http_alone_and_end(hub, download):
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"):
        hub.fail_once(BIG, lambda h, p=place: h.reply(302, Location=p))
        assert "expected http:// or https://" in refusal(download())
    hub.fail_always(BIG, lambda h: h.reply(302, Location=h.path))
    assert "more than 10 redirects" in refusal(download())


def test_another_content_is_not_kept(hub, download):
    etag = hub.repos["org/model"].etag(BIG)
    hub.fail_once(etag, lambda h: h.reply(200, b"x" * 300_000))
    assert "checksum" in refusal(download())
    assert not (download.cache / "models--org--model/blobs" / etag).exists()
    subprocess.run(["rm", "-r", download.cache], check=True)
    hub.fail_once("/config.json", lambda h: h.reply(200, b'{"model_type": "cs1"}'))
    assert "checksum" in refusal(download())
    hub.fail_once("/config.json", lambda h: h.reply(200, b"", ETag='"%s"' % ("0" * 40)))
    assert "the hub answers of " in refusal(download())
    assert set(snapshot(download())) == WANTED


@pytest.mark.parametrize("dot", ["", "./"])
def test_shards_in_a_directory_of_the_repository(hub, download, dot):
    files = {"config.json": b"{}", "a/b/1.safetensors": b"one", "tokenizer_config.json": b"{}",
             "model.safetensors.index.json": b'{"weight_map": {"x": "%sa/b/1.safetensors"}}' % dot.encode()}
    hub.repos["org/model"] = Repo(files)
    done = download()
    assert snapshot(done) == files
    hub.requests.clear()
    again = download(HF_HUB_OFFLINE="1")
    assert again.stdout == done.stdout and hub.requests == []
    (pathlib.Path(done.stdout.strip()) / "a/b/1.safetensors").unlink()
    assert "not whole in the hub cache" in refusal(download(HF_HUB_OFFLINE="1"))


def test_an_index_that_leads_out_is_refused(hub, download):
    for shard in (b"../../x.safetensors", b"none.safetensors", b"ckpt.pt"):
        files = {**some_model(), "transformers.safetensors.index.json":
                 b'{"weight_map": {"a": "%s"}}' % shard}
        hub.repos["org/model"] = Repo(files)
        assert "transformers.safetensors.index.json" in refusal(download())


# ---- killed, and two at once

def left_behind(download):
    """The transfers that were cut off, and their sizes."""
    return {path: path.stat().st_size for path in
            (download.cache / "models--org--model/blobs").glob("*.incomplete")}


def kill_at(hub, download, n_bytes, signal_number=signal.SIGKILL, expected=None, kept=0,
            pause=0.0):
    """Start a download and kill it when so many bytes were sent, `kept` are in a file, and a
    pause has let it take what was sent."""
    reached, go_on = threading.Event(), threading.Event()

    def on_sent(sent):
        if sent >= n_bytes:
            reached.set()
            go_on.wait(10)

    hub.on_sent, hub.sent = on_sent, 0
    process = subprocess.Popen(download.command, env=download.environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not reached.wait(0.002) and process.poll() is None:
        pass
    while kept > sum(left_behind(download).values()) and process.poll() is None:
        time.sleep(0.002)
    time.sleep(pause)
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    assert expected is None or process.returncode == expected
    hub.on_sent = None
    go_on.set()


def kill_and_resume(hub, download, n_times, seed):
    """Kill a download again and again; the tree in the end is one that nobody killed."""
    download()
    expected = tree_of(download.cache)
    r = random.Random(seed)
    hub.piece = 4096
    total = sum(len(hub.repos["org/model"].files[name]) for name in WANTED)
    n_killed = n_cut = 0
    while n_killed < n_times:
        subprocess.run(["rm", "-r", download.cache], check=True)
        for _ in range(min(r.randrange(1, 5), n_times - n_killed)):
            kill_at(hub, download, r.randrange(total), pause=r.choice((0, 0.05)))
            n_killed += 1
            n_cut += any(left_behind(download).values())
        done = download()
        assert snapshot(done) == {n: hub.repos["org/model"].files[n] for n in WANTED}
        assert tree_of(download.cache) == expected, f"seed {seed}, {n_killed} killed"
    assert n_cut > 0  # the kills did cut files off


def test_killed_transfers_are_resumed(hub, download):
    kill_and_resume(hub, download, int(os.environ.get("CSM_HUB_KILLS", 8)), seed=1)


def test_a_resumed_transfer_asks_for_the_rest(hub, download):
    hub.piece = 4096
    kill_at(hub, download, 200_000, kept=1)
    (left, n_bytes), = left_behind(download).items()
    hub.requests.clear()
    assert set(snapshot(download())) == WANTED
    etag = left.name.split(".")[0]
    assert [h.get("Range") for _, where, p, h in hub.requests
            if where == "storage" and etag in p] == [f"bytes={n_bytes}-"]


def test_what_a_kill_left_is_not_trusted(hub, download):
    hub.piece = 4096
    kill_at(hub, download, 200_000, kept=6)
    left, = left_behind(download)
    content = bytearray(left.read_bytes())
    content[5] ^= 1
    left.write_bytes(content)
    done = download()
    assert set(snapshot(done)) == WANTED
    assert "is taken from its start" in done.stderr


def test_ctrl_c_ends_as_the_signal_does_and_keeps_what_came(hub, download):
    hub.piece = 4096
    kill_at(hub, download, 200_000, signal.SIGINT, expected=-signal.SIGINT)
    assert len(left_behind(download)) == 1
    assert set(snapshot(download())) == WANTED


def test_two_at_once_transfer_each_file_once(hub, download):
    started = threading.Event()
    hub.piece = 4096

    def on_sent(sent):
        if sent > 100_000 and not started.is_set():
            started.set()
            started.wait(1)
    hub.on_sent = on_sent
    runs = [subprocess.Popen(download.command, env=download.environment(), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    outcomes = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], outcomes
    assert len({out for out, _ in outcomes}) == 1
    assert set(snapshot(download())) == WANTED
    storage = [p for _, where, p, _ in hub.requests if where == "storage"]
    assert len(storage) == len(set(storage))


def test_a_model_by_name_where_a_path_is_expected(hub, download, build_dir):
    def info(*args, **more):
        return subprocess.run([build_dir / "bin" / "csm", "info", "--model-path", "org/model",
                               *args], capture_output=True, text=True,
                              env=download.environment(**more))
    offline = info(HF_HUB_OFFLINE="1")
    assert offline.returncode == 3
    assert offline.stderr == "csm: org/model: not in the hub cache: csm download org/model brings it\n"
    assert f"{download.cache}/models--org--model/snapshots/" in info().stderr  # random bytes: refused
    assert set(snapshot(download("--offline"))) == WANTED


@pytest.mark.parametrize("path", ["org/model@v2", "https://huggingface.co/org/model", "hf://org/model",
                                  "https://hf.co/org/model/tree/main"])
def test_an_address_of_a_model_is_told_its_name(download, build_dir, path):
    done = subprocess.run([build_dir / "bin" / "csm", "info", "--model-path", path], capture_output=True,
                          text=True, env=download.environment())
    assert done.returncode == 3
    assert done.stderr == (f"csm: {path}: no path here, expected a directory or org/model (csm download org/model "
                           "--revision R brings a revision, and prints its directory)\n")
