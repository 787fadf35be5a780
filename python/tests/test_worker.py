# SPDX-License-Identifier: Apache-2.0
"""csm.worker: items spoken by a process of csm synth, whatever becomes of it."""

import json
import os
import signal
import threading

import pytest

from csm import EngineError
from csm.worker import CommandDied, Worker, arguments

ITEMS = [{"id": f"{i}", "text": text} for i, text in enumerate(["Hello there.", "No.", "Come in.", "Thank you."])]


def test_options_are_the_commands():
    assert arguments({"top_p": 0.9, "codes": True, "guard": False, "seed": None, "adapter": ["a", "b:2"], "batch": 4}) == [
        "--top-p", "0.9", "--codes", "--no-guard", "--adapter", "a", "--adapter", "b:2", "--batch", "4"]


def test_threads_get_the_files_of_csm_synth(csm_command, tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(i) + "\n" for i in ITEMS))
    csm_command("synth", "--manifest", tmp_path / "in.jsonl", "--output-dir", tmp_path / "whole")
    told = {}
    with Worker(tmp_path / "o", batch=2) as worker:
        threads = [threading.Thread(target=lambda i=i: told.update({i["id"]: worker.speak([i])[0]})) for i in ITEMS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [json.loads(line) for line in (tmp_path / "whole" / "manifest.jsonl").read_text().splitlines()]
    assert [told[i["id"]] for i in ITEMS] == lines
    for line in lines:
        name = line["audio_filepath"]
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_bad_items_are_told_apart_from_the_good(tmp_path):
    with Worker(tmp_path) as worker:
        good, bad = worker.speak([ITEMS[0], {"id": "b"}])
        assert good["ended"] == "by itself" and bad == {"id": "b", "error": 'no "text", expected what to say'}
        with pytest.raises(ValueError, match="id 0: another item has it"):
            worker.speak([ITEMS[0], ITEMS[0]])
        assert worker.speak([ITEMS[0]]) == [good]


def test_refused_options_are_a_value_error_with_the_commands_words(tmp_path):
    with pytest.raises(ValueError, match="shard: whoever hands over"):
        Worker(tmp_path, shard="1/2")
    with Worker(tmp_path, temperature=-1) as worker, pytest.raises(ValueError, match="^--temperature: -1, expected 0"):
        worker.speak(ITEMS)


def test_a_process_that_is_killed_is_told(tmp_path):
    worker = Worker(tmp_path)
    worker.speak(ITEMS[:1])
    os.kill(worker._process.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(CommandDied, match="exit -9") as died:
            worker.speak(ITEMS)
        assert died.value.returncode == -signal.SIGKILL and isinstance(died.value, EngineError)
    worker.close()
