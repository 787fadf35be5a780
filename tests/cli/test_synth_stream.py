# SPDX-License-Identifier: Apache-2.0
"""csm synth --manifest -: lines answered as they come, with the files and words of a whole manifest."""

import json
import signal
import subprocess
import time

import pytest

ITEMS = [{"id": f"part/{i}", "text": text} for i, text in enumerate(
    ["Hello there.", "It is 5 o'clock.", "Good morning.", "No.", "Come in.", "Thank you."])]
ITEMS[3] |= {"speaker": 1, "seed": -1, "voice": "slt"}


def lines(items):
    return "".join((i if isinstance(i, str) else json.dumps(i)) + "\n" for i in items)


@pytest.fixture(scope="module")
def stream(csm, tmp_path_factory):
    """stream(DIR, items, ...): the completed process and its answers."""

    def run(out, items, *args):
        done = csm("synth", "--manifest", "-", "--output-dir", out, *args, input=lines(items), check=False)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    return run


def sounds(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith("manifest")}


@pytest.mark.parametrize("batch", [1, 4])
def test_answers_and_files_are_those_of_a_whole_manifest(csm, stream, tmp_path, batch):
    (tmp_path / "in.jsonl").write_text(lines(ITEMS))
    more = ["--codes", "--retries", 2, "--temperature", 1.3]
    csm("synth", "--manifest", tmp_path / "in.jsonl", "--output-dir", tmp_path / "whole", *more)
    done, answers = stream(tmp_path / "o", ITEMS, "--batch", batch, *more)
    assert done.returncode == 0 and sounds(tmp_path / "o") == sounds(tmp_path / "whole")
    assert sorted(a["line"] for a in answers) == list(range(1, 1 + len(ITEMS)))
    answers.sort(key=lambda a: a.pop("line"))
    assert answers == [json.loads(x) for x in (tmp_path / "whole" / "manifest.jsonl").read_text().splitlines()]


def test_each_is_answered_when_its_file_is_there(build_dir, tmp_path):
    run = subprocess.Popen([build_dir / "bin" / "csm", "synth", "--manifest", "-", "--output-dir", tmp_path],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for i, item in enumerate(ITEMS[:3], 1):
        run.stdin.write(lines([item]))
        run.stdin.flush()
        answer = json.loads(run.stdout.readline())
        assert answer["line"] == i and answer["id"] == item["id"]
        assert (tmp_path / answer["audio_filepath"]).stat().st_size == answer["bytes"]
    run.stdin.close()
    assert run.wait(10) == 0 and run.stdout.read() == ""
    run.stdout.close()


def test_what_cannot_be_spoken_is_answered_with_why(stream, tmp_path):
    done, answers = stream(tmp_path, ["{", {"id": "a"}, {"id": "b", "text": "No.", "color": 1},
                                      {"id": "c", "text": "a", "voice": "nobody"}, {"id": "d", "text": "word " * 5000},
                                      {"id": "e", "text": 5}, {"id": "f", "text": " "}, {"id": 1.5, "text": "x"}])
    why = {a["line"]: (a.get("id"), a["error"]) for a in answers if "error" in a}
    assert done.returncode == 1 and [w[0] for w in (why[n] for n in (1, 2, 4, 5))] == [None, "a", "c", "d"]
    for number, part in (1, "no JSON"), (2, 'no "text"'), (6, '"text": expected a text'), (7, '"text": empty'), (8, '"id": expected'), (4, '"voice": '), (5, "too long: "):
        assert part in why[number][1]
    assert [a["audio_filepath"] for a in answers if "error" not in a] == ["b.wav"]
    assert 'line 3: nothing is done with "color"' in done.stderr and "7 lines left out" in done.stderr


@pytest.mark.parametrize("option", [["--resume"], ["--skip-bad"], ["--shard", "1/2"]])
def test_what_belongs_to_a_whole_manifest_is_refused(stream, tmp_path, option):
    done, _ = stream(tmp_path / "o", ITEMS, *option)
    assert done.returncode == 2 and "--manifest -: lines are answered as they come" in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("is_idle", [True, False])
def test_an_interrupt_ends_it_and_leaves_no_part_of_a_file(build_dir, tmp_path, is_idle):
    run = subprocess.Popen([build_dir / "bin" / "csm", "synth", "--manifest", "-", "--output-dir", tmp_path],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    run.stdin.write(lines(ITEMS[:1] if is_idle else [i | {"id": f"{n}"} for n in range(50) for i in ITEMS[:1]]))
    run.stdin.flush()
    first = json.loads(run.stdout.readline())
    run.send_signal(signal.SIGTERM)
    started = time.monotonic()
    rest = [json.loads(line) for line in run.stdout]
    assert run.wait(10) == -signal.SIGTERM and time.monotonic() - started < 5
    assert {p.name for p in tmp_path.iterdir()} == {a["audio_filepath"] for a in [first, *rest]}
    run.stdin.close()
    run.stdout.close()
