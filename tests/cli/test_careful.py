# SPDX-License-Identifier: Apache-2.0
"""What a careless call must not cost: files overwritten, answers lost, orders to the terminal."""

import hashlib
import json
import os
import resource
import shlex
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"


def safetensors(path, name="logits", dtype="F32", shape=(1, 4), data=bytes(16)):
    header = json.dumps({name: {"dtype": dtype, "shape": list(shape),
                                "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def digests(directory):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


# ---- nothing is overwritten that is read, and no model by accident ----------------------


@pytest.mark.parametrize("out", ["model", "./model/", "link", "model/../model"])
def test_a_model_is_not_quantized_into_itself(csm, tmp_path, out):
    shutil.copytree(CSM_A, tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    before = digests(tmp_path / "model")
    for more in [], ["--force"]:
        done = csm("quantize", tmp_path / "model", tmp_path / out, *more, check=False)
        assert done.returncode == 2 and "the model that is read" in done.stderr
        assert digests(tmp_path / "model") == before


def test_another_model_is_overwritten_with_force_alone(csm, tmp_path):
    csm("quantize", CSM_A, tmp_path / "q4")
    before = digests(tmp_path / "q4")
    done = csm("quantize", CSM_A, tmp_path / "q4", "--bits", 8, check=False)
    assert done.returncode == 2 and "--force" in done.stderr
    assert digests(tmp_path / "q4") == before
    csm("quantize", CSM_A, tmp_path / "q4", "--bits", 8, "--force")
    assert json.loads((tmp_path / "q4" / "config.json").read_text())["quantization"]["bits"] == 8


def test_links_from_the_output_into_the_model_are_seen(csm, tmp_path):
    shutil.copytree(CSM_A, tmp_path / "model")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").symlink_to("../model/model.safetensors")
    before = digests(tmp_path / "model")
    done = csm("quantize", tmp_path / "model", tmp_path / "out", "--force", check=False)
    assert done.returncode == 2 and digests(tmp_path / "model") == before


def test_no_command_writes_over_what_it_reads(csm, tmp_path):
    logits = safetensors(tmp_path / "logits.safetensors")
    tokens = safetensors(tmp_path / "tokens.safetensors", "codes", "I32", (2, 8), bytes(64))
    text = tmp_path / "text.txt"
    text.write_text("Hello.")
    sound = tmp_path / "sound.wav"
    shutil.copy(CSM_A / "ctx0.wav", sound)
    (tmp_path / "link").symlink_to("tokens.safetensors")
    before = digests(tmp_path)
    for line in [
        ["sample", logits, "--output", logits],
        ["analyze", tokens, "--html", tmp_path / "link"],
        ["codec", "encode", sound, sound],
        ["codec", "decode", tokens, tokens, "--format", "wav"],
        ["generate", "--text-file", text, "--output", text],
        ["generate", "--script", text, "--output", text],
        ["generate", "--from-tokens", tokens, "--output", tokens],
        ["generate", "--text", "Hi.", "--forced-tokens", tokens, "--save-tokens", tokens],
        ["generate", "--text", "Hi.", "--context-audio", sound, "--context-text", "Ah.",
         "--output", sound],
        ["generate", "--text", "Hi.", "--output", "new", "--save-tokens", "new"],
    ]:
        done = csm(*line, check=False, cwd=tmp_path)
        assert done.returncode == 2 and "a file of its own to write" in done.stderr, line
        assert digests(tmp_path) == before


# ---- standard output ---------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    ["--help"], ["--version"], ["help"], ["generate", "--help"], ["noise", "--shape", "3"],
    ["sample", "LOGITS"], ["info", CSM_A], ["info", CSM_A, "--json"], ["voice", "list"],
    ["analyze", "TOKENS"], ["analyze", "TOKENS", "--json"],
    ["generate", "--text", "Hi.", "--json", "--output", "none", "--model-path", CSM_A,
     "--max-audio-length-ms", "160"],
    ["generate", "--text", "Hi.", "--output", "-", "--model-path", CSM_A,
     "--max-audio-length-ms", "160"],
    ["bench", "--model-path", CSM_A, "--frames", "2", "--json"],
], ids=lambda line: " ".join(map(str, line[:3])) if isinstance(line, list) else line)
def test_a_full_disk_fails_every_command(build_dir, tmp_path, line):
    files = {"LOGITS": safetensors(tmp_path / "logits.safetensors"),
             "TOKENS": safetensors(tmp_path / "t.safetensors", "codes", "I32", (2, 8), bytes(64))}
    with open("/dev/full", "wb") as full:
        done = subprocess.run([build_dir / "bin" / "csm", *(files.get(a, a) for a in map(str, line))],
                              stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert done.stderr.count("csm: ") >= 1 and "annot be written" in done.stderr


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_seed_is_told_as_it_was_given(csm, tmp_path, seed):
    told = csm("generate", "--text", 'He said "seed": 7.', "--seed", seed, "--output", "none",
               "--json", "--model-path", CSM_A, "--max-audio-length-ms", 160).stdout
    assert json.loads(told)["settings"]["seed"] == seed
    assert json.loads(told)["text"] == 'He said "seed": 7.'


def test_without_a_place_for_silence_the_loudspeakers_fault_is_heard(build_dir, tmp_path):
    """No /dev/null: what is asked of PortAudio is then asked aloud, and stderr stays."""
    alone = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount of our own here (unshare -rm)")
    done = subprocess.run([*alone, build_dir / "bin" / "csm", "generate", "--text", "Hi.", "--play",
                           "--quiet", "--output", "none", "--model-path", CSM_A],
                          capture_output=True, text=True)
    assert done.returncode == 3 and "csm: --play: no loudspeaker" in done.stderr


# ---- messages ----------------------------------------------------------------------------


def test_names_out_of_files_give_the_terminal_no_orders(csm, tmp_path):
    evil = safetensors(tmp_path / "evil.safetensors", "\x1b[31mEVIL\x07\x9b2J", "I32")
    done = csm("sample", evil, check=False)
    assert done.returncode == 3 and "EVIL" in done.stderr
    assert not set(done.stderr) & {chr(c) for c in [*range(10), *range(11, 32), *range(127, 160)]}
    recording = tmp_path / "\x1b[31mEVIL\x07\n2J.wav"
    soundfile.write(recording, 0.1 * np.sin(np.arange(24000) / 9), 24000)
    told = csm("generate", "--text", "Hi.", "--output", "none", "--context-audio", recording, "--context-text", "x" * 99)
    assert "?[31mEVIL??2J.wav: a text of 99 characters" in told.stderr.split("\n")[0]


def test_a_name_that_is_not_utf8_is_in_each_answer(build_dir, tmp_path):
    """Of an old archive: JSON has U+FFFD for its bytes. It was left out, or the whole answer was."""
    name = os.fsencode(tmp_path) + b"/gr\xfc\xdfe\xe2\x82.wav"
    shown = str(tmp_path) + "/gr\ufffd\ufffde\ufffd\ufffd.wav"
    answers = []
    for line in ["generate", "--text", "Hi.", "--output", name, "--json"], ["detect", name, "--json"]:
        done = subprocess.run([build_dir / "bin" / "csm", *line], capture_output=True)
        answers.append(json.loads(done.stdout))
    assert answers[0]["output"] == answers[1]["files"][0]["file"] == shown


@pytest.mark.parametrize("name", ["plain.pt", "two words.pt", "it's.pt", "$(touch x) `y`; z.pt"])
def test_the_way_out_of_a_pickle_can_be_pasted(csm, tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\3\4" + bytes(64))
    done = csm("sample", name, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert shlex.split(done.stderr.split("convert it: ")[1])[-2:] == [name, "model.safetensors"]


@pytest.mark.parametrize("n", [40, 120, 200])
def test_the_way_out_of_a_pickle_is_whole_where_its_path_is_long(csm, tmp_path, n):
    (tmp_path / ("d" * n)).mkdir()
    (tmp_path / ("d" * n) / "plain.pt").write_bytes(b"PK\3\4" + bytes(64))
    done = csm("sample", tmp_path / ("d" * n) / "plain.pt", check=False)
    assert shlex.split(done.stderr.split("convert it there: ")[1])[-2:] == ["plain.pt", "model.safetensors"]


def test_a_name_that_a_message_cannot_keep_is_not_pasted(csm, tmp_path):
    name = "a\nb.pt"
    (tmp_path / name).write_bytes(b"PK\3\4" + bytes(64))
    done = csm("sample", name, check=False, cwd=tmp_path)
    assert shlex.split(done.stderr.split("convert it: ")[1])[-2:] == ["FILE", "model.safetensors"]


# ---- code that is run --------------------------------------------------------------------


def test_an_engine_that_anybody_could_have_put_there_is_not_loaded(build_dir, tmp_path):
    (tmp_path / "bin").mkdir(), (tmp_path / "lib").mkdir()
    shutil.copy(build_dir / "bin" / "csm", tmp_path / "bin" / "csm")
    engine = tmp_path / "lib" / "csm_engine_torch.so"
    engine.write_bytes(b"not an engine")

    def run():
        done = subprocess.run([tmp_path / "bin" / "csm", "generate", "--text", "Hi.", "--engine",
                               "torch", "--output", "none", "--model-path", CSM_A],
                              capture_output=True, text=True)
        assert done.returncode == 4
        return done.stderr

    engine.chmod(0o644)
    assert "does not load" in run()
    engine.chmod(0o666)
    assert "others could have put it there" in run()
    engine.chmod(0o644)
    (tmp_path / "lib").chmod(0o777)
    assert "others could have put it there" in run()


def test_no_python_of_the_current_directory_is_run(build_dir, tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    planted = tmp_path / ".venv" / "bin" / "python"
    planted.write_text("#!/bin/sh\ntouch planted\n")
    planted.chmod(0o755)
    named = tmp_path / "it's a python"
    named.write_text("#!/bin/sh\ntouch named\nexit 1\n")
    named.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if k != "CSM_PYTHON"}
    for env in clean, {**clean, "CSM_PYTHON": str(named)}:
        subprocess.run([build_dir / "bin" / "test_token_generation", "--test-sampling"], env=env,
                       cwd=tmp_path, capture_output=True, check=True)
    assert not (tmp_path / "planted").exists()
    assert (tmp_path / "named").exists()  # quotes and blanks in its name do no harm


# ---- what the build needs ----------------------------------------------------------------


@pytest.fixture
def path_with(tmp_path):
    """A PATH of few programs, with a pkg-config and a compiler that find nothing or all."""

    def make(finds_all, *programs):
        bin = tmp_path / "bin"
        shutil.rmtree(bin, ignore_errors=True)
        bin.mkdir()
        for name in "sh", "sed", "awk", "grep", "sort", "tr", "make", "cmake", *programs:
            (bin / name).symlink_to(shutil.which(name))
        for name in "pkg-config", "cc":
            (bin / name).write_text(f"#!/bin/sh\nexit {int(not finds_all)}\n")
            (bin / name).chmod(0o755)
        return {"PATH": str(bin)}

    return make


def install_deps(*args, env):
    return subprocess.run([ROOT / "scripts" / "install-deps", *args], env=env, capture_output=True,
                          text=True)


def test_where_all_is_there_no_package_manager_is_needed(path_with):
    for args in [], ["--check"]:
        done = install_deps(*args, env=path_with(True))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_missing_is_named_for_each_package_manager(path_with):
    done = install_deps("--check", env=path_with(False))
    assert done.returncode == 1
    for line in ["apt install", "dnf install", "pacman -S", "apk add", "brew install",
                 "nix-shell -p"]:
        assert f"  {line} " in done.stderr
    assert "libjansson-dev" in done.stderr and "jansson-devel" in done.stderr
    assert "portaudio is missing: csm is built without playing sound" in done.stderr


def test_looking_installs_nothing(path_with, tmp_path):
    env = path_with(False)
    for name in "apt-get", "sudo":
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho $0 $@ >>{tmp_path}/called\n")
        (tmp_path / "bin" / name).chmod(0o755)
    install_deps("--check", env=env)
    assert not (tmp_path / "called").exists()


def test_a_package_that_a_system_does_not_have_keeps_no_other_out(path_with, tmp_path):
    """As dnf, apt-get and pacman do it: one unknown name, and nothing is installed."""
    env = path_with(False, "id")
    dnf = tmp_path / "bin" / "dnf"
    dnf.write_text(f"#!/bin/sh\ncase \"$*\" in *md4c-devel*) exit 1 ;; esac\necho $@ >>{tmp_path}/installed\n")
    dnf.chmod(0o755)
    (tmp_path / "bin" / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "bin" / "sudo").chmod(0o755)
    done = install_deps(env=env)
    installed = (tmp_path / "installed").read_text()
    assert "install -y -q jansson-devel\n" in installed and "pcre2-devel\n" in installed and "md4c" not in installed
    assert "csm: dnf has no package of md4c\n" in done.stderr
    assert done.returncode == 1 and "missing: jansson" in done.stderr  # for nothing of it came


def test_a_big_endian_processor_is_refused_at_compile_time(tmp_path):
    flags = ["-fsyntax-only", f"-I{ROOT}/src", f"-I{ROOT}/include", "-x", "c",
             ROOT / "src" / "base" / "numbers.h"]
    assert subprocess.run(["cc", *flags], capture_output=True).returncode == 0
    big = subprocess.run(["cc", "-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__", *flags],
                         capture_output=True, text=True)
    assert big.returncode != 0 and "little-endian" in big.stderr


# ---- a disk or a limit that is full -----------------------------------------------------------


@pytest.mark.parametrize("output", ["a.wav", "a.mp3", "a.flac", "a.opus"])
def test_a_limit_of_a_files_size_is_told_and_leaves_nothing(csm, tmp_path, output):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    done = csm("generate", "--text", "Hello there.", "--output", output, check=False, cwd=tmp_path,
               preexec_fn=limit)
    assert done.returncode == 3 and "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", [["info", CSM_A], ["info", CSM_A, "--json"], ["detect", CSM_A / "ctx0.wav"],
                                  ["detect", CSM_A / "ctx0.wav", "--json"], ["noise", "--shape", "3"],
                                  ["generate", "--text", "Hi.", "--json", "--output", "none"]])
def test_an_answer_that_cannot_be_printed_is_told_once(build_dir, line):
    with open("/dev/full", "w") as full:
        done = subprocess.run([build_dir / "bin" / "csm", *map(str, line)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert [text for text in done.stderr.splitlines() if "standard output" in text] == done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 1


def test_a_text_or_a_file_that_a_second_one_drops_is_told(csm, tmp_path):
    said = csm("generate", "--text", "One.", "--text", "Two.", "--seed", 1, "--seed", 2, "--max-audio-length-ms", 80,
               "--output", tmp_path / "a.wav", "--output", tmp_path / "b.wav").stderr
    assert said.count("given more than once, the last one counts") == 2
    assert "--text" in said and "--output" in said and "--seed" not in said
    assert (tmp_path / "b.wav").exists() and not (tmp_path / "a.wav").exists()
