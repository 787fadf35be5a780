# SPDX-License-Identifier: Apache-2.0
"""csm synth: one corpus, however it is divided, ordered, interrupted; and nothing of it in silence."""

import json
import os
import random
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from conftest import ROOT

TURN = ROOT / "tests" / "golden" / "csm-a" / "ctx0.wav"
TEXTS = ["Hello there.", "It is 5 o'clock.", "Good morning.", "How are you?", "No.", "Yes, it is.", "One, two.",
         "Come in.", "Thank you.", "Not today.", "Who is it?", "Go home."]
ITEMS = [{"id": f"part/{i:02}", "text": text} for i, text in enumerate(TEXTS)]
ITEMS[4] |= {"speaker": 1, "seed": -1}
ITEMS[7] |= {"voice": "slt"}


def write(path, items):
    path.write_text("".join((i if isinstance(i, str) else json.dumps(i)) + "\n" for i in items))
    return path


def told(folder, name="manifest.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def sounds(folder):
    return {name: data for name, data in files(folder).items() if not name.startswith("manifest")}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write(tmp_path_factory.mktemp("synth") / "in.jsonl", ITEMS)


@pytest.fixture(scope="module")
def synth(csm, manifest):
    """synth(DIR, ...): the completed process."""
    return lambda out, *args, manifest=manifest, check=True, **kw: csm(
        "synth", "--manifest", manifest, "--output-dir", out, "--codes", *args, check=check, **kw)


@pytest.fixture(scope="module")
def corpus(synth, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "all"
    synth(out)
    return out


def test_each_item_has_files_and_a_line_in_its_order(corpus):
    lines = told(corpus)
    assert [line["id"] for line in lines] == [item["id"] for item in ITEMS]
    assert len(files(corpus)) == 1 + 2 * len(ITEMS)
    for line in lines:
        sound = soundfile.info(corpus / line["audio_filepath"])
        assert sound.frames / 24000 == line["duration"] > 0.3
        assert load_file(corpus / line["codes_filepath"])["codes"].shape[0] * 1920 == sound.frames
        assert (line["attempts"], line["ended"]) == (1, "by itself")
    assert lines[1]["text"] == TEXTS[1] and lines[1]["normalized_text"] == "It is five o'clock."
    assert (lines[4]["seed"], lines[4]["speaker"], lines[7]["speaker"]) == (-1, 1, 1)


def test_a_fraction_of_twenty_digits_is_a_number(synth, tmp_path):
    manifest = tmp_path / "in.jsonl"
    manifest.write_text('{"id": "a", "text": "Yes.", "duration": 1.12345678901234567890,'
                        ' "offset": -0.69999999999999995559e1, "seed": 18446744073709551615}\n')
    synth(tmp_path / "o", manifest=manifest)
    assert [line["seed"] for line in told(tmp_path / "o")] == ["18446744073709551615"]


def test_a_seed_is_made_of_the_id_as_the_page_says(synth, tmp_path):
    """xxhash.xxh3_64_intdigest(id, seed=N) >> 12, by the Python package xxhash 3."""
    items = write(tmp_path / "in.jsonl", [{"id": "a", "text": "No."}, {"id": "b/../c", "text": "No."}])
    synth(tmp_path / "o", manifest=items)
    assert [line["seed"] for line in told(tmp_path / "o")] == [4059822859348324, 3257403484107036]
    synth(tmp_path / "p", "--seed", 7, manifest=items)
    assert told(tmp_path / "p")[0]["seed"] == 2794239297346090


def test_it_is_what_csm_generate_says(csm, corpus, tmp_path):
    for line in told(corpus)[1::3]:
        given = ["--voice", "slt"] if line["id"] == "part/07" else ["--speaker", line["speaker"]]
        csm("generate", "--text", line["text"], "--whole", "--seed", line["seed"], *given, "--output",
            tmp_path / "a.wav", "--save-tokens", tmp_path / "a.safetensors")
        assert (tmp_path / "a.wav").read_bytes() == (corpus / line["audio_filepath"]).read_bytes()
        assert (tmp_path / "a.safetensors").read_bytes() == (corpus / line["codes_filepath"]).read_bytes()


@pytest.mark.parametrize("n_shards, batch", [(1, 1), (2, 3), (7, 8)])
def test_shards_and_batches_change_no_byte(synth, corpus, tmp_path, n_shards, batch):
    lines = []
    for i in range(1, n_shards + 1):
        synth(tmp_path, "--shard", f"{i}/{n_shards}", "--batch", batch)
        lines += told(tmp_path, "manifest.jsonl" if n_shards == 1 else f"manifest-{i}-of-{n_shards}.jsonl")
    assert sounds(tmp_path) == sounds(corpus)
    assert sorted(lines, key=lambda line: line["id"]) == told(corpus)


def test_the_order_of_the_lines_changes_no_byte(synth, corpus, tmp_path):
    items = ITEMS[:]
    random.Random(1).shuffle(items)
    synth(tmp_path / "o", manifest=write(tmp_path / "in.jsonl", items))
    assert sounds(tmp_path / "o") == sounds(corpus)


def test_the_shard_is_the_task_of_a_slurm_array(synth, tmp_path):
    env = os.environ | {"SLURM_ARRAY_TASK_ID": "8", "SLURM_ARRAY_TASK_MIN": "2", "SLURM_ARRAY_TASK_STEP": "3",
                        "SLURM_ARRAY_TASK_COUNT": "4"}
    done = synth(tmp_path, env=env)
    assert "--shard 3/4, of SLURM_ARRAY_TASK_ID" in done.stderr
    assert [line["id"] for line in told(tmp_path, "manifest-3-of-4.jsonl")] == ["part/02", "part/06", "part/10"]
    done = synth(tmp_path / "p", env=env | {"SLURM_ARRAY_TASK_ID": "3"}, check=False)
    assert done.returncode == 2 and "leave numbers out" in done.stderr
    env = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "17", "SLURM_ARRAY_TASK_COUNT": "2"}
    done = synth(tmp_path / "p", env=os.environ | env, check=False)
    assert done.returncode == 2 and "leave numbers out" in done.stderr


def killed_and_resumed(command, out, draw, n_kills):
    """Run it until it is done, killed at random moments before; how often it was."""
    n_killed = 0
    while True:
        run = subprocess.Popen(command, stderr=subprocess.PIPE)
        if n_killed < n_kills:  # when a few more files are there, however fast the machine is
            wanted = len(list(out.glob("**/*"))) + draw.randrange(6)
            while run.poll() is None and len(list(out.glob("**/*"))) < wanted:
                time.sleep(0.001)
            run.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        said = run.communicate(timeout=60)[1]
        if run.returncode == 0:
            return n_killed
        assert n_killed < n_kills, said
        n_killed += 1


def test_killed_and_resumed_it_is_the_same(build_dir, manifest, corpus, tmp_path):
    """In 1, 2 and 7 shards in turn."""
    draw = random.Random(int(os.environ.get("CSM_SYNTH_SEED", 1)))
    whole, lines = sounds(corpus), told(corpus)
    for turn in range(int(os.environ.get("CSM_SYNTH_KILLS", 3))):
        out, n_shards = tmp_path / str(turn), (1, 2, 7)[turn % 3]
        n_killed, found = 0, []
        for i in range(1, n_shards + 1):
            command = [build_dir / "bin" / "csm", "synth", "--manifest", manifest, "--output-dir", out, "--codes", "--resume",
                       "--batch", str(draw.choice([1, 4])), "--quiet", "--shard", f"{i}/{n_shards}"]
            n_killed += killed_and_resumed(command, out, draw, 3 if n_shards < 7 else 1)
            found += told(out, "manifest.jsonl" if n_shards == 1 else f"manifest-{i}-of-{n_shards}.jsonl")
        assert n_killed > 0 and sounds(out) == whole
        assert sorted(found, key=lambda line: line["id"]) == lines
        assert len(files(out)) == len(whole) + n_shards


def test_an_interrupt_leaves_what_is_done_and_says_so(build_dir, manifest, corpus, tmp_path):
    run = subprocess.Popen([build_dir / "bin" / "csm", "synth", "--manifest", manifest, "--output-dir", tmp_path / "o",
                            "--codes", "--batch", "1"], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("o/*.safetensors")):
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode == -signal.SIGINT and "of 12 items are done; --resume goes on" in said
    left = files(tmp_path / "o")
    done = [json.loads(line) for line in left.pop("manifest.jsonl.unfinished").splitlines()]
    assert 0 < len(done) < 12 and f"{len(done)} of 12" in said
    assert left == {name: data for name, data in sounds(corpus).items() if name in left} and len(left) == 2 * len(done)


def test_what_is_whole_is_kept_and_what_changed_is_spoken_anew(synth, corpus, tmp_path):
    out = tmp_path / "o"
    assert "12 items (0 of a run before)" in synth(out).stderr
    done = synth(out, check=False)
    assert done.returncode == 3 and "expected --resume or another directory" in done.stderr
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.wav")}
    assert "12 items (12 of a run before)" in synth(out, "--resume").stderr
    assert before == {p: p.stat().st_mtime_ns for p in out.glob("*.wav")} and files(out) == files(corpus)

    (out / "part%2F00.wav").write_bytes(b"RIFF")
    (out / "part%2F01.safetensors").unlink()
    done = synth(out, "--resume")
    assert "2 items were spoken anew" in done.stderr and files(out) == files(corpus)

    assert "12 items were spoken anew" in synth(out, "--resume", "--temperature", 0.8).stderr
    assert sounds(out) != sounds(corpus)

    fewer = write(tmp_path / "in.jsonl", ITEMS[1:])
    assert "1 items are not in" in synth(out, "--resume", manifest=fewer).stderr
    assert told(out) == told(corpus)[1:]
    assert {n: d for n, d in sounds(out).items() if "F00" not in n} == {
        n: d for n, d in sounds(corpus).items() if "F00" not in n}


def test_nobody_else_writes_there_meanwhile(build_dir, synth, manifest, tmp_path):
    out = tmp_path / "o"
    run = subprocess.Popen([build_dir / "bin" / "csm", "synth", "--manifest", manifest, "--output-dir", out, "--batch", "1"],
                           stderr=subprocess.PIPE)
    while not list(out.glob("*.wav")):
        time.sleep(0.01)
    run.send_signal(signal.SIGSTOP)
    done = synth(out, "--resume", check=False)
    run.send_signal(signal.SIGCONT)
    run.communicate()
    assert done.returncode == 3 and "another csm synth writes it" in done.stderr and run.returncode == 0


@pytest.mark.parametrize("form", ["flac", "opus", "mp3", "ogg", "pcm", "wav-f32"])
def test_formats_are_those_of_csm_generate(csm, synth, tmp_path, form):
    one = write(tmp_path / "in.jsonl", [{"id": "a", "text": "Hello there.", "seed": 5}])
    ending, name = {"pcm": ("pcm", "s16le"), "wav-f32": ("wav", "wav-f32")}.get(form, (form, form))
    synth(tmp_path / "o", "--format", form, "--sample-rate", 48000, "--mark", manifest=one)
    csm("generate", "--text", "Hello there.", "--seed", 5, "--format", name, "--sample-rate", 48000, "--mark",
        "--output", tmp_path / f"a.{ending}")
    if form in ("ogg", "opus"):  # a stream's serial number is drawn by chance
        one, other = (soundfile.read(p)[0] for p in (tmp_path / f"o/a.{ending}", tmp_path / f"a.{ending}"))
        assert np.array_equal(one, other)
    else:
        assert (tmp_path / f"o/a.{ending}").read_bytes() == (tmp_path / f"a.{ending}").read_bytes()


def test_what_ends_badly_is_spoken_again_with_the_next_seed(csm, synth, tmp_path):
    limit = ["--max-audio-length-ms", 1120]
    items = write(tmp_path / "in.jsonl", [{"id": i, "text": "Good morning.", "seed": 10 * i} for i in range(4)])
    done = synth(tmp_path / "o", "--retries", 2, *limit, manifest=items)
    lines = told(tmp_path / "o")
    n_attempts = set()
    for line in lines:
        first = int(line["id"]) * 10
        endings = []
        while len(endings) < 3 and endings[-1:] != ["by itself"]:
            report = json.loads(csm("generate", "--text", "Good morning.", "--whole", "--seed", first + len(endings), *limit,
                                    "--output", tmp_path / f"{len(endings)}.wav", "--json").stdout)
            endings.append("by itself" if report["ended"] else "length limit")
        taken = endings.index("by itself") if "by itself" in endings else 0
        assert (line["seed"], line["attempts"], line["ended"]) == (first + taken, len(endings), endings[taken])
        assert (tmp_path / "o" / line["audio_filepath"]).read_bytes() == (tmp_path / f"{taken}.wav").read_bytes()
        n_attempts.add(line["attempts"])
    assert len(n_attempts) > 1
    assert f"{sum(line['ended'] != 'by itself' for line in lines)} did not end by themselves" in done.stderr


def test_an_item_without_sound_is_told_and_has_no_file(synth, tmp_path):
    """Logits that are all zero: the most probable code is 0, which ends speech at once."""
    folder = tmp_path / "silent"
    folder.mkdir()
    for file in (ROOT / "tests" / "golden" / "csm-a").glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    raw = bytearray((ROOT / "tests" / "golden" / "csm-a" / "model.safetensors").read_bytes())
    n = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + n])
    for name in "lm_head.weight", "depth_decoder.codebooks_head.weight":
        start, end = header[name]["data_offsets"]
        raw[8 + n + start:8 + n + end] = bytes(end - start)
    (folder / "model.safetensors").write_bytes(raw)
    items = write(tmp_path / "in.jsonl", [{"id": "a", "text": "Hello."}])
    model = ["--model-path", folder, "--temperature", 0, "--depth-temperature", 0, "--retries", 2]
    for more in [], ["--resume"]:
        done = synth(tmp_path / "o", *model, *more, manifest=items, check=False)
        assert done.returncode == 1 and "of these 1 without sound" in done.stderr
        line, = told(tmp_path / "o")
        assert (line["audio_filepath"], line["codes_filepath"], line["duration"]) == (None, None, 0)
        assert (line["ended"], line["attempts"], list(files(tmp_path / "o"))) == ("no sound", 3, ["manifest.jsonl"])


def test_a_context_of_its_own_is_that_of_csm_generate(csm, synth, tmp_path):
    (tmp_path / "turn.wav").write_bytes(TURN.read_bytes())
    turn = {"audio_filepath": "turn.wav", "text": "Hello.", "speaker": 3}
    items = write(tmp_path / "in.jsonl", [
        {"id": "a", "text": "Good morning.", "seed": 4, "speaker": 3, "context": [turn]},
        {"id": "b", "text": "Good morning.", "seed": 4, "context": [turn | {"audio_filepath": str(TURN)}]},
        {"id": "c", "text": "Good morning.", "seed": 4}])
    synth(tmp_path / "o", "--context-audio", TURN, "--context-text", "Bye.", "--context-speaker", 2, "--speaker", 2,
          manifest=items)
    for name, text, speaker, of in ("a", "Hello.", 3, 3), ("b", "Hello.", 2, 3), ("c", "Bye.", 2, 2):
        csm("generate", "--text", "Good morning.", "--seed", 4, "--speaker", speaker, "--context-audio", TURN,
            "--context-text", text, "--context-speaker", of, "--output", tmp_path / "g.wav")
        assert (tmp_path / "g.wav").read_bytes() == (tmp_path / f"o/{name}.wav").read_bytes()
    assert [line.get("warnings") for line in told(tmp_path / "o")] == [None, ["other-speaker"], None]


def test_manifests_of_nemo_and_lhotse_are_read(synth, tmp_path):
    items = write(tmp_path / "in.jsonl", [
        {"audio_filepath": "/data/x.y.flac", "duration": 2.5, "text": "One."},
        {"id": "cut-1", "start": 0.0, "duration": 1.0, "supervisions": [{"id": "s", "text": "Two.", "speaker": "1089"}]},
        {"id": "seg-1", "recording_id": "r", "start": 0, "duration": 1, "channel": 0, "speaker": "A", "text": "Three."},
        "", {"id": 4, "custom": {"text": "Four."}}])
    done = synth(tmp_path / "o", manifest=items)
    assert [(line["id"], line["text"]) for line in told(tmp_path / "o")] == [
        ("x.y", "One."), ("cut-1", "Two."), ("seg-1", "Three."), ("4", "Four.")]
    assert 'line 2: nothing is done with "start"' in done.stderr


BAD = [("{", "no JSON"), ("[]", "expected a JSON object a line"), ("id,text", "expected a JSON object a line"),
       ('{"id": "n", "text": "a", "voice": "slt", "speaker": 3}', '"speaker": 3, but voice slt is speaker 1'),
       ('{"id": "n", "text": "a", "seed": 18446744073709551616}', '"seed"'),
       ('{"id": "n", "text": "a", "seed": -9223372036854775809}', '"seed"'),
       ('{"id": "n", "text": "a", "seed": "random"}', '"seed"'), ('{"id": "n", "text": "a", "seed": 1e19}', '"seed"'), ('{"text": "a"}', 'no "id"'),
       ('{"id": "", "text": "a"}', '"id": expected'), ('{"id": true, "text": "a"}', '"id": expected'),
       ('{"id": "n"}', 'no "text"'), ('{"id": "n", "text": " "}', '"text": empty'), ('{"id": "n", "text": 5}', '"text": expected a text'),
       ('{"id": "n", "text": "a", "text": "b"}', "no JSON: duplicate"), ('{"id": "n", "text": "<br/>"}', "nothing in it"),
       ('{"id": "n", "text": "a", "supervisions": []}', "0 supervisions"),
       ('{"id": "n", "text": "a", "custom": {"text": "b"}}', "two texts"),
       ('{"id": "n", "text": "a", "speaker": "0"}', '"speaker"'), ('{"id": "n", "text": "a", "speaker": -1}', '"speaker"'),
       ('{"id": "n", "text": "a", "seed": 0.5}', '"seed"'), ('{"id": "n", "text": "a", "voice": 3}', '"voice"'),
       ('{"id": "n", "text": "a", "voice": "nobody"}', '"voice": '), ('{"id": "n", "text": "a", "context": {}}', "an array"),
       ('{"id": "n", "text": "a", "context": [{"text": "b"}]}', "expected objects with"),
       ('{"id": "n", "text": "a", "context": [{"text": "b", "audio_filepath": "nowhere.wav"}]}', "No such file"),
       (json.dumps({"id": "n" * 201, "text": "a"}), "too long for the name"),
       (json.dumps({"id": "n", "text": "word " * 5000}), "too long: "),
       ('{"id": "GOOD", "text": "a"}', "line 1 has it")]
BAD = [(line.replace('"id": "n"', f'"id": "n{i}"'), why) for i, (line, why) in enumerate(BAD)]


def test_bad_lines_are_refused_with_their_numbers_before_anything_is_spoken(synth, tmp_path):
    good = [{"id": "good", "text": "No."}]
    lines = write(tmp_path / "in.jsonl", good + [line for line, _ in BAD])
    done = synth(tmp_path / "o", manifest=lines, check=False)
    assert done.returncode == 3 and f"{len(BAD)} bad lines, nothing is spoken; --skip-bad" in done.stderr
    assert not (tmp_path / "o").exists()
    done = synth(tmp_path / "o", "--skip-bad", "--quiet", manifest=lines, check=False)
    assert done.returncode == 1 and [line["id"] for line in told(tmp_path / "o")] == ["good"]
    said = done.stderr.splitlines()
    assert len(said) == len(BAD)
    for number, ((_, why), line) in enumerate(zip(BAD, said), 2):
        assert f"in.jsonl: line {number}: " in line and why in line


# jansson's integers end at 2^63 - 1: longer ones are read as texts, and told as such.
@pytest.mark.parametrize("seed", [2**63 - 1, 2**63, 2**64 - 1, -1, -2**63, "7", str(2**64 - 1), "-1"])
def test_seeds_are_all_that_torch_takes(csm, synth, tmp_path, seed):
    lines = write(tmp_path / "in.jsonl", [{"id": "a", "text": "No.", "seed": seed}])
    synth(tmp_path / "o", manifest=lines)
    csm("generate", "--whole", "--text", "No.", "--seed", seed, "--output", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "o" / "a.wav").read_bytes()
    line, = told(tmp_path / "o")
    assert line["seed"] == (str(seed) if int(seed) >= 2**63 else int(seed))
    before = files(tmp_path / "o")
    synth(tmp_path / "o", "--resume", manifest=lines)
    assert files(tmp_path / "o") == before


@pytest.mark.parametrize("key", ["id", "hash"])
@pytest.mark.parametrize("number", [2**63, -2**63 - 1, 10**40])
def test_a_long_number_of_another_key_spoils_no_line(synth, tmp_path, key, number):
    item = {"id": "a", "text": 'No \\ "9223372036854775808".'} | {key: number}
    synth(tmp_path / "o", manifest=write(tmp_path / "in.jsonl", [item]))
    line, = told(tmp_path / "o")
    assert line["text"] == item["text"] and line["id"] == str(item["id"])


def test_what_a_turn_of_the_context_cannot_have_is_said(csm, synth, tmp_path):
    csm("generate", "--text", "Hello there.", "--output", tmp_path / "a.wav")
    turn = {"audio_filepath": "a.wav", "text": "Hello there.", "duration": 1.0}
    lines = write(tmp_path / "in.jsonl", [{"id": "a", "text": "No.", "foo": 1, "context": [turn, turn | {"offset": 0.5}]}])
    assert synth(tmp_path / "o", "--quiet", manifest=lines).stderr == (
        f'csm: {lines}: line 1: nothing is done with "foo"\ncsm: {lines}: line 1: nothing is done with "offset"\n')


def test_a_setting_that_a_line_cannot_have_is_said_even_if_quiet(synth, tmp_path):
    lines = write(tmp_path / "in.jsonl", [{"id": "a", "text": "Hi.", "temperature": 0}])
    assert synth(tmp_path / "o", "--quiet", manifest=lines).stderr == (
        f'csm: {lines}: line 1: nothing is done with "temperature"\n')


def test_a_context_without_sound_is_a_bad_line(synth, tmp_path):
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    lines = write(tmp_path / "in.jsonl", [
        {"id": "a", "text": "No.", "context": [{"audio_filepath": "no.wav", "text": "b"}]}, {"id": "b", "text": "No."}])
    done = synth(tmp_path / "o", manifest=lines, check=False)
    assert done.returncode == 3 and "line 1: id a: " in done.stderr
    done = synth(tmp_path / "o", "--resume", "--skip-bad", manifest=lines, check=False)
    assert done.returncode == 1 and [line["id"] for line in told(tmp_path / "o")] == ["b"]


def test_unsafe_ids_stay_in_the_directory(synth, tmp_path):
    ids = ["../up", "/etc/x", ".hidden", "..", "a b", "ä", "-", "a\nb", "%41"]
    (tmp_path / "in").mkdir()
    synth(tmp_path / "in" / "o", manifest=write(tmp_path / "in.jsonl", [{"id": i, "text": "No."} for i in ids]))
    assert {p.name for p in tmp_path.iterdir()} == {"in", "in.jsonl"} and len(list((tmp_path / "in").iterdir())) == 1
    assert {p.name for p in (tmp_path / "in" / "o").glob("*.wav")} == {
        "%2E.%2Fup.wav", "%2Fetc%2Fx.wav", "%2Ehidden.wav", "%2E..wav", "a%20b.wav", "%C3%A4.wav", "-.wav", "a%0Ab.wav",
        "%2541.wav"}


def test_a_full_disk_is_an_error_and_leaves_no_half_file(synth, tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30000, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    done = synth(tmp_path / "o", check=False, preexec_fn=limit, restore_signals=False)
    assert done.returncode == 3 and "File too large" in done.stderr
    assert list(files(tmp_path / "o")) == ["manifest.jsonl.unfinished"]
    (tmp_path / "file").write_text("")
    assert synth(tmp_path / "file", check=False).returncode == 3
    assert synth(tmp_path / "no" / "where", check=False).returncode == 3


def test_usage(csm, tmp_path):
    for line in (["--manifest", "x"], ["--output-dir", "x"], ["--manifest", "x", "--output-dir", "o", "--shard", "0/2"],
                 ["--manifest", "x", "--output-dir", "o", "--shard", "3/2"], ["--manifest", "x", "--output-dir", "o", "--batch", 0],
                 ["--manifest", "x", "--output-dir", "o", "--format", "wma"], ["--manifest", "x", "--output-dir", "o", "x"]):
        assert csm("synth", *line, check=False, cwd=tmp_path).returncode == 2
    done = csm("synth", "--manifest", "/dev/stdin", "--output-dir", "o", check=False, cwd=tmp_path, input="{}")
    assert done.returncode == 3 and "read twice, not a pipe" in done.stderr
    assert csm("synth", "--manifest", "x", "--output-dir", "o", check=False, cwd=tmp_path).returncode == 3
    assert list(tmp_path.iterdir()) == []
