# SPDX-License-Identifier: Apache-2.0
"""csm and huggingface_hub itself (what transformers brings, 2.4) with one cache: each finds
what the other has downloaded, and neither stands in the other's way."""

import json
import os
import subprocess
import sys

import pytest

from conftest import WANTED, snapshot, tree_of
from hub_server import Repo

pytest.importorskip("huggingface_hub", minversion="2.4")


@pytest.fixture
def hf(download):
    """Run Python with huggingface_hub in the same environment; what it assigns to `out`."""

    def start(code, **more):
        code = f"import json, huggingface_hub as h\n{code}\nprint(json.dumps(out))"
        return subprocess.Popen(
            [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=download.environment(HF_HUB_DISABLE_PROGRESS_BARS="1",
                                                             HF_HUB_DISABLE_TELEMETRY="1", **more))

    def run(code, **more):
        process = start(code, **more)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1])

    run.start = start
    return run


TAKE = f"out = h.snapshot_download('org/model', allow_patterns={sorted(WANTED)})"


def test_it_reads_ours_offline(hub, download, hf):
    directory = download().stdout.rstrip("\n")
    hub.requests.clear()
    assert hf(TAKE, HF_HUB_OFFLINE="1") == directory
    assert hf(f"out = [h.hf_hub_download('org/model', f) for f in {sorted(WANTED)}]",
              HF_HUB_OFFLINE="1") == [f"{directory}/{name}" for name in sorted(WANTED)]
    assert hf("out = h.try_to_load_from_cache('org/model', 'voices.json') is "
              "h._CACHED_NO_EXIST") is True
    assert hub.requests == []


def test_it_transfers_nothing_of_ours_again(hub, download, hf):
    directory = download().stdout.rstrip("\n")
    hub.requests.clear()
    assert hf(TAKE) == directory
    assert hf("out = h.hf_hub_download('org/model', 'config.json')") == f"{directory}/config.json"
    assert all(method == "HEAD" or "/api/" in path for method, _, path, _ in hub.requests)


def test_its_own_checks_find_no_fault(hub, download, hf):
    download()
    found = hf("info = h.scan_cache_dir()\n"
               "r = next(iter(info.repos))\n"
               "out = [len(info.warnings), r.repo_id, r.nb_files, sorted(r.refs), r.size_on_disk]")
    repo = hub.repos["org/model"]
    assert found == [0, "org/model", len(WANTED), ["main"],
                     sum(len(repo.files[name]) for name in WANTED)]
    verified = hf("v = h.HfApi().verify_repo_checksums('org/model')\n"
                  "out = [v.checked_count, len(v.mismatches)]")
    assert verified == [len(WANTED), 0]


def test_we_read_its(hub, download, hf):
    directory = hf(TAKE)
    hub.requests.clear()
    assert download("--offline").stdout == f"{directory}\n"
    assert hub.requests == []
    done = download()
    assert (done.stdout, done.stderr) == (f"{directory}\n", "")
    assert [path for _, _, path, _ in hub.requests] == ["/api/models/org/model/revision/main"]


def test_we_read_what_it_took_file_by_file(hub, download, hf):
    """No list of files then: what the snapshot shows decides."""
    hf(f"out = [h.hf_hub_download('org/model', name) for name in "
       f"{sorted(WANTED - {'generation_config.json'})}]")
    done = download("--offline")
    assert set(snapshot(done)) == WANTED - {"generation_config.json"}
    assert not (download.cache / "models--org--model/trees").exists()
    assert set(snapshot(download())) == WANTED
    assert hub.count("generation_config.json") == 1


def test_the_same_tree(hub, download, hf, tmp_path):
    """Every name and byte of the cache, locks' names too, but for what each says of a cache
    and for the files that are known not to exist."""
    download()
    hf(TAKE, HF_HUB_CACHE=str(tmp_path / "its"))
    ours, its = (tree_of(c, without_locks=False) for c in (download.cache, tmp_path / "its"))
    for tree in (ours, its):
        tag = tree.pop("CACHEDIR.TAG")[1]
        assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    ours = {name: what for name, what in ours.items() if "/.no_exist/" not in name}
    assert ours == its
    modes = [{p.name: oct(p.stat().st_mode) for p in (c / ".locks/models--org--model").iterdir()}
             for c in (download.cache, tmp_path / "its")]
    assert modes[0] == modes[1]


def test_a_file_of_its_shared_store_is_taken_from_there(hub, download, hf):
    big = "transformers-00001-of-00002.safetensors"
    repo = Repo(hub.repos["org/model"].files, xet=[big])
    hub.repos["org/model"] = repo
    hub.repos["org/copy"] = Repo({**repo.files, "other.txt": b"another commit"}, xet=[big])
    download(repo="org/copy")
    publish = (
        "from huggingface_hub.utils import _shared_blobs as s\n"
        f"out = s.publish_blob_to_shared_store(blob_path={str(download.cache)!r} + "
        f"'/models--org--copy/blobs/{repo.etag(big)}', xet_hash='{repo.xet_hash(big)}', "
        f"cache_dir={str(download.cache)!r}, expected_size={len(repo.files[big])})")
    assert hf(publish) is True
    hub.requests.clear()
    done = download()
    assert snapshot(done)[big] == repo.files[big]
    assert hub.count(repo.etag(big)) == 0
    blob = download.cache / "models--org--model/blobs" / repo.etag(big)
    assert os.readlink(blob) == f"../../blobs/{repo.xet_hash(big)[:2]}/{repo.xet_hash(big)}"
    assert snapshot(download("--offline", repo="org/copy"))[big] == repo.files[big]
    # It counts our link: taking its own repository away leaves the content.
    hf("c = h.scan_cache_dir()\n"
       "r = next(r for r in c.repos if r.repo_id == 'org/copy')\n"
       "c.delete_revisions(*[v.commit_hash for v in r.revisions]).execute()\nout = 0")
    assert not (download.cache / "models--org--copy").exists()
    assert snapshot(download("--offline"))[big] == repo.files[big]
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_SHARED_BLOBS"):
        subprocess.run(["rm", "-r", download.cache / "models--org--model"], check=True)
        hub.requests.clear()
        assert snapshot(download(**{name: "1"}))[big] == repo.files[big]
        assert hub.count(repo.etag(big)) == 1


def test_a_file_that_it_locks_is_waited_for(hub, download, hf):
    etag = hub.repos["org/model"].etag("config.json")
    lock = download.cache / ".locks/models--org--model" / f"{etag}.lock"
    lock.parent.mkdir(parents=True)
    holder = hf.start("from huggingface_hub.utils import WeakFileLock\n"
                      f"with WeakFileLock({str(lock)!r}):\n"
                      "    print('held', flush=True)\n"
                      "    import time; time.sleep(1.5)\n"
                      "out = 0")
    assert holder.stdout.readline() == "held\n"
    done = download()
    holder.communicate(timeout=30)
    assert set(snapshot(done)) == WANTED
    assert done.stderr == ("csm: org/model: config.json: another process transfers it; waiting\n")
