# SPDX-License-Identifier: Apache-2.0
"""csm.download and Model.from_pretrained("ORG/NAME") at a hub of this machine."""

import pathlib
import sys

import numpy as np
import pytest

import csm

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "hub"))
from hub_server import Repo, Server  # noqa: E402


@pytest.fixture
def hub(model_dir, tmp_path, monkeypatch):
    files = {p.name: p.read_bytes() for p in model_dir.iterdir() if p.is_file()}
    server = Server({"org/small": Repo(files)})
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.close()


def test_a_model_by_name_speaks_as_its_directory_does(hub, model_dir):
    with csm.Model.from_pretrained("org/small", engine="native") as named, \
            csm.Model.from_pretrained(model_dir, engine="native") as here:
        assert "/models--org--small/snapshots/" in named.info["path"]
        said = [m.speak("Hello.", seed=7, max_audio_length_ms=400).tokens for m in (named, here)]
    assert np.array_equal(*said)


def test_a_directory_of_that_name_comes_first(hub, model_dir, tmp_path):
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "small").symlink_to(model_dir)
    with csm.Model.from_pretrained("org/small", engine="native") as model:
        assert model.info["path"] == "org/small"
    assert hub.requests == []


def test_progress_ends_with_all_bytes_and_may_cancel(hub):
    told = []
    directory = csm.download("org/small", progress=lambda *what: told.append(what))
    file, n_bytes, total = told[-1]
    assert n_bytes == total == sum(p.stat().st_size for p in pathlib.Path(directory).iterdir())
    assert (pathlib.Path(directory) / file).is_file()

    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    with pytest.raises(Enough):
        csm.download("org/small", cache_dir="elsewhere", progress=stop)


def test_errors_are_python_s(hub):
    with pytest.raises(OSError, match="org/none: no such repository"):
        csm.download("org/none")
    with pytest.raises(OSError, match="not in the hub cache"):
        csm.download("org/small", offline=True)
    with pytest.raises(ValueError, match="expected ORG/NAME"):
        csm.download("none")
    with pytest.raises(ValueError, match="expected a branch"):
        csm.download("org/small", revision="../x")
    with pytest.raises(TypeError, match="files: expected a list"):
        csm.download("org/small", files="config.json")
    with pytest.raises(TypeError, match="repo"):
        csm.download(None)


def test_remarks_are_warnings(hub):
    directory = csm.download("org/small")
    with pytest.warns(UserWarning, match="the cache's copy is taken"):
        assert csm.download("org/small", endpoint="http://127.0.0.1:9") == directory
    hub.requests.clear()
    assert csm.download("org/small", offline=True, files=["config.json"]) == directory
    assert hub.requests == []
