# SPDX-License-Identifier: Apache-2.0
"""csm analyze --corpus: what stands in the report is what the files are."""

import html.parser
import json
import re

import numpy as np
import pytest
import soundfile

RATE = 24000


def tone(seconds, level=0.5):
    return level * np.sin(2 * np.pi * 1000 * np.arange(int(seconds * RATE)) / RATE)


def quiet(seconds):
    return np.zeros(int(seconds * RATE))


# id, text, samples, and more of its line
ITEMS = [("a", "ten chars.", np.concatenate([quiet(0.2), tone(1), quiet(0.3)]), {}),
         ("b/<i>", "four", np.concatenate([tone(0.5), quiet(0.7), tone(0.5, 0.1)]), {"speaker": 3, "attempts": 2}),
         ("c", "twelve chars", np.clip(tone(3, 2), -1, 1), {"ended": "length limit"}),
         ("d", "five5", tone(3, 0.01), {"normalized_text": "five five5"}),
         ("e", "seven77", np.concatenate([quiet(0.2), tone(1), quiet(0.3)]), {"speaker": 3})]


def build(folder, items, n_shards=1):
    folder.mkdir(exist_ok=True)
    names = ["manifest.jsonl"] if n_shards == 1 else [f"manifest-{i}-of-{n_shards}.jsonl" for i in range(1, n_shards + 1)]
    lines = {name: "" for name in names}
    for i, (key, text, samples, more) in enumerate(items):
        file = folder / f"{i}.wav"
        soundfile.write(file, samples, RATE, subtype="PCM_16")
        line = {"id": key, "audio_filepath": file.name, "text": text, "duration": len(samples) / RATE, "speaker": 0,
                "attempts": 1, "ended": "by itself", "bytes": file.stat().st_size} | more
        lines[names[i % n_shards]] += json.dumps(line) + "\n"
    for name, text in lines.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def analyze(csm):
    def run(folder, *args, code=0):
        done = csm("analyze", "--corpus", folder, "--json", *args, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_report_is_what_the_files_are(analyze, tmp_path):
    report = analyze(build(tmp_path, ITEMS))
    assert (report["items"], report["retried"], report["without_sound"], report["clipped"]) == (5, 1, 0, 1)
    assert report["seconds"] == pytest.approx(sum(len(s) for _, _, s, _ in ITEMS) / RATE)  # doubles
    assert report["endings"] == [{"name": "by itself", "n": 4, "seconds": 7.7}, {"name": "length limit", "n": 1, "seconds": 3.0}]
    assert [(s["name"], s["n"]) for s in report["speakers"]] == [("0", 3), ("3", 2)]
    spreads, extremes = report["spreads"], report["extremes"]
    assert (spreads["duration_s"]["min"], spreads["duration_s"]["max"]) == (1.5, 3)
    assert extremes["slowest_s_per_character"][0] == {"id": "b/<i>", "value": 0.425}  # 1.7 s, 4 letters
    assert {o["id"]: o["value"] for o in extremes["slowest_s_per_character"]}["d"] == 0.3  # of what was spoken
    assert (spreads["silence_before_s"]["max"], spreads["silence_after_s"]["max"], spreads["longest_pause_s"]["max"]) == (0.2, 0.3, 0.7)
    assert [o["id"] for o in extremes["most_clipped_samples"]] == ["c"]
    assert report["duplicate_sounds"] == 1 and report["first_duplicates"] == [{"id": "e", "of_line": 1}]
    for spread in spreads.values():
        assert sum(spread["bins"]) == spread["n"] == 5


def test_loudness_is_that_of_ebu_r_128(analyze, tmp_path):
    """A sine of 1 kHz and amplitude A on both loudspeakers has 20 log10(A) - 3.01 + 3.01 LUFS, to within
    0.05: K-weighting has 0.691 dB there, which its offset takes back (ITU-R BS.1770-4)."""
    extremes = analyze(build(tmp_path, ITEMS))["extremes"]
    assert extremes["quietest_lufs"][0]["id"] == "d" and extremes["loudest_lufs"][0]["id"] == "c"
    assert extremes["quietest_lufs"][0]["value"] == pytest.approx(-40, abs=0.05)


def test_shards_are_one_corpus(analyze, tmp_path):
    one, other = analyze(build(tmp_path / "a", ITEMS)), analyze(build(tmp_path / "b", ITEMS, n_shards=3))
    for report in one, other:
        del report["corpus"], report["first_duplicates"]
        for groups in "endings", "speakers":
            report[groups].sort(key=lambda g: g["name"])
    assert one == other


def test_files_that_are_not_whole_are_told(analyze, tmp_path):
    build(tmp_path, ITEMS)
    (tmp_path / "0.wav").unlink()
    (tmp_path / "1.wav").write_bytes((tmp_path / "1.wav").read_bytes()[:-2])
    (tmp_path / "2.wav").write_bytes(bytes((tmp_path / "2.wav").stat().st_size))
    report = analyze(tmp_path, code=1)
    assert report["faults"] == 3 and [f["id"] for f in report["first_faults"]] == ["a", "b/<i>", "c"]
    assert report["spreads"]["duration_s"]["n"] == 2


class Texts(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.is_script = set(), [], False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.is_script = tag == "script"

    def handle_data(self, data):
        if self.is_script:
            self.scripts.append(data)


def test_a_page_has_the_report_and_no_tag_of_an_id(csm, analyze, tmp_path):
    build(tmp_path / "c", [("</script><b>", *ITEMS[0][1:]), *ITEMS[1:]])
    report = analyze(tmp_path / "c", "--html", tmp_path / "page.html")
    texts = Texts()
    texts.feed((tmp_path / "page.html").read_text())
    assert json.loads(texts.scripts[0]) == report and not {"b", "i"} & texts.tags
    assert not list(tmp_path.glob("*.part"))
    done = csm("analyze", "--corpus", tmp_path / "c")
    assert "5 items, 10.7 s of sound" in done.stdout and re.search(r"duration_s +1\.500 ", done.stdout)


def test_what_is_no_corpus_is_refused(csm, tmp_path):
    for make, said in [(lambda: None, "no manifest*.jsonl"), (lambda: (tmp_path / "manifest.jsonl").write_text("{}\n"), "'{}"),
                       (lambda: (tmp_path / "manifest-1-of-2.jsonl.unfinished").touch(), "--resume first")]:
        make()
        done = csm("analyze", "--corpus", tmp_path, check=False)
        assert done.returncode == 3 and said in done.stderr, done.stderr
    assert csm("analyze", "--corpus", tmp_path / "no", check=False).returncode == 3
    for more in ["--png", "x"], ["a.safetensors"], ["--vocab", "3"]:
        assert csm("analyze", "--corpus", tmp_path, *more, check=False).returncode == 2
