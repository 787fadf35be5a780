# SPDX-License-Identifier: Apache-2.0
"""Every option of csm generate with every other: both are honoured, or the pair is refused with
both names. Each option has a value that shows: in --json, in a file, in the sound."""

import concurrent.futures
import itertools
import json
import re
import shutil
import struct
import subprocess
import wave

import numpy as np
import pytest

from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"
TEXT = "Hi."


# ---- the model, and files for the options that need one ---------------------------------


def safetensors(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": {"f": "F32", "i": "I32"}[array.dtype.kind],
                        "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def make_adapter(folder):
    folder.mkdir()
    config = json.loads((CSM_A / "config.json").read_text())
    width, heads, size = (config[k] for k in ("hidden_size", "num_attention_heads", "head_dim"))
    rows, numbers = heads * size, np.random.default_rng(5)
    name = "base_model.model.backbone_model.layers.0.self_attn.q_proj.lora_"
    safetensors(folder / "adapter_model.safetensors", {
        name + "A.weight": numbers.standard_normal((2, width)).astype(np.float32),
        name + "B.weight": numbers.standard_normal((rows, 2)).astype(np.float32)})
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}))


def make_certificate(folder):
    """key.pem, of P-256, and the PEM of a certificate for it with what C2PA asks for, by an authority that is made
    with it."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    for name in ("authority.key", "key.pem"):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)
    openssl("req", "-x509", "-new", "-key", "authority.key", "-subj", "/O=a test/CN=authority", "-out", "authority.crt",
            "-addext", "keyUsage=critical,keyCertSign")
    (folder / "uses").write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n"
                                 "basicConstraints=critical,CA:false\nauthorityKeyIdentifier=keyid\n")
    openssl("req", "-new", "-key", "key.pem", "-subj", "/O=a test/CN=signer", "-out", "signer.csr")
    openssl("x509", "-req", "-in", "signer.csr", "-CA", "authority.crt", "-CAkey", "authority.key", "-set_serial", "7",
            "-extfile", "uses", "-out", "signer.crt")
    return (folder / "signer.crt").read_text() + (folder / "authority.crt").read_text()


@pytest.fixture(scope="module")
def files(tmp_path_factory, csm):
    folder = tmp_path_factory.mktemp("files")
    (folder / "model").mkdir()
    for file in CSM_A.iterdir():
        if file.is_file():
            (folder / "model" / file.name).symlink_to(file)
    (folder / "model" / "voices.json").write_text(
        '{"voices": [{"name": "anna", "speaker": 0}, {"name": "ben", "speaker": 1}]}')
    make_adapter(folder / "adapter")
    (folder / "text.txt").write_text("File.\n")
    (folder / "script.txt").write_text("[0] One.\n[Alice] Two.\n[anna] Three.\n")
    (folder / "key").write_text("0123456789abcdef" * 4)
    shutil.copy(CSM_A / "ctx0.wav", folder / "context.wav")
    (folder / "chain.pem").write_text(make_certificate(folder))
    csm("generate", "--model-path", folder / "model", "--text", "Codes.", "--seed", 9, "--output",
        "none", "--max-audio-length-ms", 160, "--save-tokens", folder / "codes.safetensors")
    return folder


# ---- the options: a value each, what it needs, and where it shows -----------------------


class Run:
    """One call and what came of it."""

    def __init__(self, command, files, folder, names):
        self.folder = folder
        folder.mkdir()
        self.names = set(names)
        arguments = []
        for name in dict.fromkeys([n for name in names for n in [*OPTIONS[name].needs, name]]):
            self.names.add(name)
            arguments += OPTIONS[name].arguments
        if not self.names & {"text", "text-file", "script", "-", "from-tokens"}:
            arguments += ["--text", TEXT]
        if "model-path" not in self.names:
            arguments += ["--model-path", "{model}"]
        if "threads" not in self.names:
            arguments += ["--threads", "1"]
        if "output" not in self.names:
            arguments += ["--output", "out.wav"]
        if not self.names & {"max-audio-length-ms", "forced-tokens", "from-tokens"}:
            arguments += ["--max-audio-length-ms", "160"]
        if not self.names & {"json", "from-tokens", "dry-run"}:
            arguments += ["--json"]
        self.arguments = [re.sub(r"\{(.*?)\}", lambda m: str(files / m[1]), a) for a in arguments]
        self.done = subprocess.run([command, "generate", *self.arguments], cwd=folder,
                                   input="Input.", capture_output=True, text=True)
        self.code, self.stderr = self.done.returncode, self.done.stderr
        self.told = {}
        if self.code == 0 and self.done.stdout.startswith("{"):
            self.told = json.loads(self.done.stdout)

    @property
    def turns(self):
        return self.told.get("utterances", [self.told])

    def sounds(self):
        """The sound files, as bytes, in order."""
        return [p.read_bytes() for p in sorted(self.folder.glob("*.wav"))]

    def tokens(self):
        path = self.folder / "t.safetensors"
        return path.read_bytes() if path.exists() else b""

    def texts(self):
        if "dry-run" in self.names:
            return [re.sub(r"^\[\w+\] ", "", line) for line in self.done.stdout.splitlines()]
        return [turn["text"] for turn in self.turns]

    def setting(self, option, key, value):
        """As --json tells; where many utterances leave that out, the sound is another."""
        if "settings" in self.told:
            return self.told["settings"][key] == value
        return self.is_another(option)

    def choice(self, name, value):
        return "choices" not in self.told or self.told["choices"][name] == value

    def is_another(self, *options):
        """Whether sound or tokens are others than those without these options."""
        if "dry-run" in self.names:
            return True
        rest = [name for name in self.pair if name not in options]
        plain = self.alone[rest[0]] if rest else self.alone["quiet"]
        return self.sounds() != plain.sounds() or self.tokens() != plain.tokens()


class Option:
    def __init__(self, *arguments, needs=(), shows):
        self.arguments, self.needs, self.shows = list(arguments), needs, shows


def frames(run):
    return [turn["frames"] for turn in run.turns]


def exists(name):
    return lambda run: "dry-run" in run.names or (run.folder / name).exists()


def has_tensor(name):
    return lambda run: "dry-run" in run.names or name in (
        run.folder / "t.safetensors").read_bytes()[:20000]


def is_context(run):
    if "prompt_positions" in run.told:
        return run.told["prompt_positions"] > 20  # "[0]Hi." has 8
    return "dry-run" in run.names or run.is_another("context-audio", "context-text", "context-speaker")


def rate(run):
    if run.names & {"dry-run"}:
        return True
    return all(struct.unpack_from("<I", s, 24)[0] == 8000 for s in run.sounds())


def speaks_as(number):
    return lambda run: "dry-run" in run.names or all(t["speaker"] == number for t in run.turns)


def no_word(run):
    return True


def is_written(run):
    return "dry-run" in run.names or bool(run.sounds())


def is_signed(run):
    return "dry-run" in run.names or all(b"trainedAlgorithmicMedia" in s for s in run.sounds())


SAMPLING = {
    "seed": ("7", "seed", 7), "temperature": ("0.5", "temperature", 0.5),
    "topk": ("5", "topk", 5), "top-p": ("0.4", "top_p", 0.4), "min-p": ("0.3", "min_p", 0.3),
    "depth-temperature": ("0.4", "depth_temperature", 0.4), "depth-topk": ("4", "depth_topk", 4),
    "depth-top-p": ("0.5", "depth_top_p", 0.5), "depth-min-p": ("0.2", "depth_min_p", 0.2)}

OPTIONS = {
    "text": Option("--text", TEXT, shows=lambda run: run.texts() == [TEXT]),
    "text-file": Option("--text-file", "{text.txt}", shows=lambda run: run.texts() == ["File."]),
    "-": Option("-", shows=lambda run: run.texts() == ["Input."]),
    "script": Option("--script", "{script.txt}", needs=["cast"],
                     shows=lambda run: run.texts() == ["One.", "Two.", "Three."]),
    "cast": Option("--cast", "Alice=ben", shows=lambda run: "dry-run" in run.names or [
        t["speaker"] for t in run.turns] == [0, 1, 0], needs=["script"]),
    "output": Option("--output", "other.wav", shows=lambda run: "dry-run" in run.names or bool(
        [*run.folder.glob("other*.wav")])),
    "model-path": Option("--model-path", "{model}", shows=no_word),
    "speaker": Option("--speaker", "1", shows=speaks_as(1)),
    "max-audio-length-ms": Option("--max-audio-length-ms", "170", shows=lambda run: (
        "dry-run" in run.names or all(n <= 2 for n in frames(run)))),
    "min-audio-length-ms": Option("--min-audio-length-ms", "90", shows=lambda run: (
        "dry-run" in run.names or all(n >= 2 for n in frames(run)))),
    "format": Option("--format", "wav-f32", shows=lambda run: "dry-run" in run.names or all(
        struct.unpack_from("<H", s, 20)[0] == 3 for s in run.sounds())),
    "sample-rate": Option("--sample-rate", "8000", shows=rate),
    "title": Option("--title", "A title", shows=lambda run: "dry-run" in run.names or all(
        b"A title" in s for s in run.sounds())),
    "mark": Option("--mark", shows=lambda run: "dry-run" in run.names or all(
        b"csm mark" in s or b"ICMT" in s for s in run.sounds())),
    "mark-key": Option("--mark-key", "{key}", needs=["mark"], shows=is_written),
    "c2pa-cert": Option("--c2pa-cert", "{chain.pem}", needs=["c2pa-key"], shows=is_signed),
    "c2pa-key": Option("--c2pa-key", "{key.pem}", needs=["c2pa-cert"], shows=is_signed),
    "play": Option("--play", shows=no_word),  # where there is no loudspeaker, that is told
    "voice": Option("--voice", "ben", shows=lambda run: "script" in run.names or speaks_as(1)(run)),
    "context-audio": Option("--context-audio", "{context.wav}", needs=["context-text"],
                            shows=is_context),
    "context-text": Option("--context-text", "How are you?", needs=["context-audio"],
                           shows=is_context),
    "context-speaker": Option("--context-speaker", "1", needs=["context-audio", "context-text"],
                              shows=is_context),
    "per-turn": Option("--per-turn", shows=lambda run: "dry-run" in run.names or bool(
        [*run.folder.glob("*-001.wav")])),
    "sentences": Option("--sentences", shows=lambda run: len(run.texts()) == 1),
    "whole": Option("--whole", shows=lambda run: len(run.texts()) == 1),
    "batch": Option("--batch", "2", shows=lambda run: "dry-run" in run.names or (
        "utterances" in run.told)),
    "resume": Option("--resume", shows=lambda run: "dry-run" in run.names or (
        "utterances" in run.told)),
    "normalize": Option("--normalize", shows=no_word),
    "no-normalize": Option("--no-normalize", shows=no_word),
    "guard": Option("--guard", shows=no_word),
    "no-guard": Option("--no-guard", shows=no_word),
    "adapter": Option("--adapter", "{adapter}", shows=lambda run: run.is_another("adapter")),
    "strategy": Option("--strategy", "exact", shows=lambda run: run.choice("strategy", "exact")),
    "use-exact-sampling": Option("--use-exact-sampling",
                                 shows=lambda run: run.choice("strategy", "exact")),
    "pytorch-tokens": Option("--pytorch-tokens", shows=lambda run: run.choice("strategy", "hybrid")),
    "engine": Option("--engine", "native", shows=lambda run: run.choice("engine", "native")),
    "device": Option("--device", "cpu", shows=no_word),
    "dtype": Option("--dtype", "f16", shows=lambda run: run.choice("precision", "f16")),
    "threads": Option("--threads", "2", shows=lambda run: run.choice("threads", 2)),
    "speculate": Option("--speculate", shows=lambda run: run.choice("speculation", "on")),
    "no-speculate": Option("--no-speculate", shows=lambda run: run.choice("speculation", "off")),
    "stream": Option("--stream", "torch-cpu-mkl", shows=lambda run: run.choice(
        "stream", "torch-cpu-mkl")),
    "sampler": Option("--sampler", "csm-mlx", shows=lambda run: run.choice("sampler", "csm-mlx")),
    "mlx-version": Option("--mlx-version", "0.29.0", needs=["sampler"],
                          shows=lambda run: run.choice("mlx_version", "0.29.0")),
    "save-tokens": Option("--save-tokens", "t.safetensors", shows=exists("t.safetensors")),
    "save-logits": Option("--save-logits", needs=["save-tokens"], shows=has_tensor(b'"logits"')),
    "save-hidden": Option("--save-hidden", "1", needs=["save-tokens"],
                          shows=has_tensor(b'"hidden.depth.final"')),
    "forced-tokens": Option("--forced-tokens", "{codes.safetensors}", needs=["save-tokens"],
                            shows=has_tensor(b'"forced"')),
    "from-tokens": Option("--from-tokens", "{codes.safetensors}", shows=is_written),
    "dry-run": Option("--dry-run", shows=lambda run: not run.sounds()),
    "json": Option("--json", shows=lambda run: bool(run.told)),
    "debug": Option("--debug", shows=lambda run: "dry-run" in run.names or (
        "codebook 0" in run.stderr)),
    "quiet": Option("--quiet", shows=no_word),
} | {name: Option("--" + name, value, shows=lambda run, name=name, key=key,
                  number=number: run.setting(name, key, number)) for name, (value, key, number) in SAMPLING.items()}

# Other words by which a message may name an option.
ALIASES = {"pytorch-tokens": "hybrid", "use-exact-sampling": "exact", "strategy": "strategy exact",
           "script": "cast"}


def listed(csm):
    """The options that the program has, by its help; the help names every one."""
    text = csm("generate", "--help").stdout
    return set(re.findall(r"--([a-z][a-z0-9-]+)", text)) - {"help"}


def test_the_table_of_this_test_has_every_option(csm):
    assert listed(csm) == set(OPTIONS) - {"-"}


def is_refusal(run, pair):
    """Exit 2, and each of the two is named (with dashes, or as "engine native"), or an option
    that it cannot be without."""
    def is_named(name):
        return (f"--{name}" in run.stderr or ALIASES.get(name, "\0") in run.stderr or
                " ".join([name, *OPTIONS[name].arguments[1:]]) in run.stderr or
                name == "-" and "with -:" in run.stderr)

    return run.code == 2 and all(any(map(is_named, [n, *OPTIONS[n].needs])) for n in pair)


def is_missing(run, pair):
    """What this machine has not, by name: an engine, a loudspeaker, C2PA's library."""
    return (run.code == 4 and "pytorch-tokens" in pair and "engine torch" in run.stderr or
            run.code in (3, 4) and "play" in pair and "--play: " in run.stderr or
            run.code == 4 and "c2pa: libc2pa_c.so does not load" in run.stderr)


def test_each_pair_is_honoured_or_refused_with_both_names(build_dir, files, tmp_path):
    command = build_dir / "bin" / "csm"
    names = list(OPTIONS)
    alone = {}

    def run(*pair):
        return Run(command, files, tmp_path / "+".join(pair), pair)

    def judge(pair):
        got = run(*pair)
        got.pair, got.alone = pair, alone
        if got.code == 2:
            return "refused" if is_refusal(got, pair) else f"refused without its names: {got.stderr}"
        if is_missing(got, pair):
            return "missing"
        if got.code != 0:
            return f"exit {got.code}: {got.stderr}"
        dropped = [n for n in pair if not OPTIONS[n].shows(got)]
        return f"dropped: {dropped}: {got.arguments} {got.stderr}" if dropped else "honoured"

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        alone.update(zip(names, pool.map(run, names)))
        pairs = list(itertools.combinations(names, 2))
        verdicts = dict(zip(pairs, pool.map(judge, pairs)))
    wrong = {p: v for p, v in verdicts.items() if v not in ("honoured", "refused", "missing")}
    count = {v: list(verdicts.values()).count(v) for v in ("honoured", "refused", "missing")}
    print(len(pairs), "pairs:", count)
    assert not wrong, "\n".join(f"{a} {b}: {v}" for (a, b), v in wrong.items())
    assert count["honoured"] > 900 and count["refused"] > 100
