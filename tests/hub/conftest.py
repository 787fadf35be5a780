# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine, and csm with a cache and an environment of its own."""

import os
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from hub_server import Repo, Server  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]

ENVIRONMENT = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME", "http_proxy",
               "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def some_model(seed=1, n_bytes=300_000):
    """Files as csm-1b's repository has them, and what must not be taken."""
    r = random.Random(seed)
    shards = [f"transformers-0000{i}-of-00002.safetensors" for i in (1, 2)]
    return {
        "config.json": b'{"model_type": "csm"}',
        "generation_config.json": b"{}",
        "tokenizer.json": r.randbytes(2000),
        "transformers.safetensors.index.json":
            b'{"weight_map": {"a": "%s", "b": "%s"}}' % tuple(s.encode() for s in shards),
        shards[0]: r.randbytes(n_bytes),
        shards[1]: r.randbytes(n_bytes + 7),
        "ckpt.pt": r.randbytes(5000),
        "model.safetensors": r.randbytes(5000),
        "README.md": b"read me",
        "prompts/a.wav": r.randbytes(3000),
    }


WANTED = {"config.json", "generation_config.json", "tokenizer.json",
          "transformers.safetensors.index.json", "transformers-00001-of-00002.safetensors",
          "transformers-00002-of-00002.safetensors"}


@pytest.fixture
def hub():
    server = Server({"org/model": Repo(some_model(), revisions=("main", "v1", "refs/pr/1"))})
    yield server
    server.close()


@pytest.fixture
def download(hub, build_dir, tmp_path):
    """Run csm download org/model at the hub: its process; `cache` is where to."""

    def environment(**more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT)}
        return {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"),
                "HOME": str(tmp_path), **more}

    def run(*args, repo="org/model", **more):
        return subprocess.run([build_dir / "bin" / "csm", "download", repo, *map(str, args)],
                              capture_output=True, text=True, env=environment(**more), timeout=60)

    run.environment = environment
    run.cache = tmp_path / "home" / "hub"
    run.command = [str(build_dir / "bin" / "csm"), "download", "org/model"]
    return run


def tree_of(cache, without_locks=True):
    """What a cache holds: path to content, or to where a link leads."""
    found = {}
    for path in sorted(pathlib.Path(cache).rglob("*")):
        name = str(path.relative_to(cache))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_file() and not (without_locks and name.startswith(".locks/")):
            found[name] = ("file", path.read_bytes())
    return found


def snapshot(done):
    """What a download has printed, with every file read through its link."""
    assert done.returncode == 0, done.stderr
    directory = pathlib.Path(done.stdout.removesuffix("\n"))
    return {str(p.relative_to(directory)): p.read_bytes()
            for p in directory.rglob("*") if p.is_file()}
