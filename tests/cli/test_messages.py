# SPDX-License-Identifier: Apache-2.0
"""Every message of the command stands in tests/golden/messages.txt with its exit code, and what
fails never exits 0."""

import json
import shutil
import struct

import messages
import numpy as np
import pytest

from conftest import ROOT

CSM_A = ROOT / "tests" / "golden" / "csm-a"
SAY = ["generate", "--model-path", str(CSM_A), "--output", "none", "--text", "Hi.",
       "--max-audio-length-ms", "160"]


def test_the_golden_file_has_every_message_and_no_other():
    found, golden = messages.collected(), messages.golden()
    assert found.keys() == golden.keys(), "python tests/cli/messages.py writes it anew"
    assert all(code in ("", golden[key]) for key, code in found.items())


def test_what_is_only_told_is_a_warning():
    told = {file for (file, _), code in messages.golden().items() if code == "0"}
    assert told == {"cli/analyze.c", "cli/choices.c", "cli/dry_run.c", "cli/marking.c", "cli/model_notes.c",
                    "cli/model_path.c",
                    "cli/options.c", "cli/speak.c", "cli/synth.c", "cli/synth_keys.c", "cli/synth_run.c", "cli/synth_shard.c",
                    "cli/tokens.c", "cli/utterances.c", "cli/voice.c", "cli/warnings.c"}


def tensors(path, name, dtype, shape, data):
    header = json.dumps({name: {"dtype": dtype, "shape": shape,
                                "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("messages")
    (here / "text").write_text("Hello.\n")
    (here / "empty").write_text("")
    (here / "zero").write_bytes(b"a\0b")
    (here / "chat").write_text('[{"role": "user", "content": "Hi."}]')
    (here / "latin1").write_bytes(b"caf\xe9")
    (here / "script").write_text("[0] One.\nTwo.\n")
    (here / "names").write_text("[Alice] One.\n")
    (here / "key").write_text("0123")
    (here / "no.wav").write_bytes(b"RIFF")
    shutil.copy(CSM_A / "ctx0.wav", here / "a.wav")
    tensors(here / "logits.st", "logits", "F32", [1, 4], bytes(16))
    tensors(here / "nan.st", "logits", "F32", [1, 4], np.full(4, np.nan, np.float32).tobytes())
    tensors(here / "codes.st", "codes", "I32", [2, 8], bytes(64))
    tensors(here / "none.st", "codes", "I32", [0, 8], b"")
    tensors(here / "wide.st", "codes", "I32", [2, 40], bytes(320))
    tensors(here / "high.st", "codes", "I32", [2, 8], np.full(16, 5000, np.int32).tobytes())
    (here / "broken.st").write_bytes(b"\xff" * 20)
    (here / "bare").mkdir()
    for name, edit in {"no-config": None, "bad-config": "{", "bad-heads": {"num_attention_heads": 7},
                       "no-weights": {}}.items():
        (here / name).mkdir()
        for file in CSM_A.iterdir():
            if file.name in ("tokenizer.json", "model.safetensors", "generation_config.json") and not (
                    name == "no-weights" and file.name == "model.safetensors"):
                (here / name / file.name).symlink_to(file)
        if isinstance(edit, dict):
            config = json.loads((CSM_A / "config.json").read_text()) | edit
            (here / name / "config.json").write_text(json.dumps(config))
        elif edit is not None:
            (here / name / "config.json").write_text(edit)
    return here


FAILING = [(code, line.split() if isinstance(line, str) else line) for code, line in [
    (2, "nonsense"), (2, "generate"), (2, "generate --nonsense"), (2, "generate --text"),
    (2, "generate --quiet=1 --text x"), (2, "generate x"), (2, "generate - x"),
    (2, "generate --text x --strategy best"), (2, "generate --text x --dtype q9"),
    (2, "generate --text x --format wma"), (2, "generate --text x --output a.txt"),
    (2, "generate --text x --sample-rate 7999"), (2, "generate --text x --output a.pcm --title t"),
    (2, "generate --text x --output a.mp3 --format ulaw"), (2, "generate --text x --threads -1"),
    (2, "generate --text x --threads two"), (2, "generate --text x --topk -1"),
    (2, "generate --text x --topk -2147483648"), (2, "generate --text x --temperature -1"),
    (2, "generate --text x --temperature -2147483648"), (2, "generate --text x --top-p 0"),
    (2, "generate --text x --min-p 2"), (2, "generate --text x --depth-topk -3"),
    (2, "generate --text x --speaker -1"), (2, "generate --text x --speaker -2147483648"),
    (2, "generate --text x --max-audio-length-ms 0"), (2, "generate --text x --seed x"),
    (2, "generate --text x --seed 18446744073709551616"), (2, "generate --text x --temperature nan"),
    (2, "generate --text x --mark-key key"), (2, "generate --text x --save-logits"),
    (2, "generate --text x --c2pa-cert key"), (2, "generate --text x --c2pa-key key"),
    (2, "generate --text x --output a.opus --c2pa-cert key --c2pa-key key"),
    (2, "generate --text x --output none --c2pa-cert key --c2pa-key key"), (2, "serve --c2pa-cert key"),
    (3, "generate --text x --c2pa-cert nowhere --c2pa-key key"),
    (2, "synth --manifest in --output-dir out --c2pa-cert key"),
    (3, "synth --manifest in --output-dir out --c2pa-cert nowhere --c2pa-key key"),
    (2, "generate --text x --mark --output none"), (2, "generate --text x --json --output -"),
    (2, "generate --text x --dry-run --output -"), (2, "generate --text x --resume --output none"),
    (2, "generate --text x --per-turn --output -"), (2, "generate --text x --batch 2 --whole"),
    (2, "generate --text x --context-audio a.wav --context-text a --context-text b"),
    (2, "generate --text x --context-audio a.wav --context-text a --context-speaker 0 "
        "--context-speaker 1"),
    (2, "generate --text x --min-audio-length-ms 200 --max-audio-length-ms 100"),
    (2, "generate --text-file text --output text"), (2, "generate --text x --adapter :1"),
    (2, "generate --text x --adapter nowhere:two"), (3, "generate --text x --adapter nowhere"),
    (3, "generate --text-file nowhere"), (3, "generate --text-file empty"),
    (3, "generate --text-file zero"), (3, "generate --text-file chat"), (3, "generate --script script"),
    (2, "generate --script names"), (2, "generate --script names --cast Alice"),
    (2, "generate --script names --cast Bob=1"),
    (2, "generate --script names --cast Alice=1 --cast Alice=2"),
    (3, "generate --text x --mark --mark-key key"), (3, "generate --text x --model-path nowhere"),
    (3, "generate --text x --model-path bare"), (3, "generate --text x --model-path no-config"),
    (3, "generate --text x --model-path bad-config"), (3, "generate --text x --model-path bad-heads"),
    (3, "generate --text x --model-path no-weights"), (3, "generate --text x --output nowhere/a.wav"),
    (3, "generate --from-tokens nowhere"), (3, "generate --from-tokens broken.st"),
    (3, "generate --from-tokens logits.st"), (3, "generate --from-tokens high.st"),
    (2, SAY + ["--voice", "nobody"]), (2, SAY + ["--device", "gpu"]), (2, SAY + ["--stream", "best"]),
    (2, SAY + ["--sampler", "best"]), (2, SAY + ["--mlx-version", "0.29.0"]),
    (2, SAY + ["--sampler", "csm-mlx", "--mlx-version", "9.9"]), (2, SAY + ["--engine", "best"]),
    (2, SAY + ["--sampler", "sesame", "--top-p", "0.5"]),
    (2, SAY + ["--sampler", "transformers", "--stream", "mlx"]),
    (2, SAY[:-1] + ["79"]), (2, SAY[:-1] + ["2000000000"]),
    (2, SAY + ["--min-audio-length-ms", "170"]),
    (3, SAY + ["--context-audio", "no.wav", "--context-text", "a"]),
    (3, SAY + ["--context-audio", "nowhere", "--context-text", "a"]),
    (2, SAY + ["--context-audio", "a.wav", "--context-text", "a", "--context-speaker", "-1"]),
    (3, SAY + ["--save-tokens", "nowhere/t.st"]),
    (3, SAY[:-2] + ["--forced-tokens", "wide.st", "--save-tokens", "t.st"]),
    (2, "voice"), (2, "voice add"), (2, "voice add a"), (2, "voice add a --audio a.wav"),
    (2, "voice remove nobody"), (2, "voice remove ../a"),
    (3, "voice add a --audio nowhere --text t"), (3, "voice add a --audio no.wav --text t"),
    (2, "codec"), (2, "codec encode a.wav"), (3, "codec encode no.wav o.st"),
    (3, "codec decode broken.st o.wav"), (2, "codec encode a.wav o.st --format wav"),
    (2, "codec decode codes.st o.wav --format wma"), (3, "codec encode nowhere o.st"),
    (3, "info nowhere"), (3, "info bare"), (3, "info bad-heads"),
    (2, "sample"), (3, "sample nowhere"), (3, "sample broken.st"),
    (3, "sample logits.st --tensor x"), (2, "sample logits.st --sampler best"),
    (2, "sample logits.st --stream best"), (2, "sample logits.st --dtype q4"),
    (2, "sample logits.st --save-probs"), (2, "sample logits.st --rounds 0"),
    (2, "sample logits.st --topk -1"), (3, "sample nan.st"),
    (2, "noise"), (2, "noise --shape 0"), (2, "noise --shape 1,2 --stream best"),
    (2, "noise --shape 1,2 --dtype q4"), (2, "analyze"), (3, "analyze nowhere"),
    (3, "analyze broken.st"), (3, "analyze logits.st"), (2, "bench --dtype best"),
    (2, "bench --random csm-2b"), (2, "bench --threads 2000"), (2, "bench --threads -1"),
    (3, "bench --model-path nowhere"), (2, "bench --engine best --model-path " + str(CSM_A)),
    (2, "bench --device gpu --model-path " + str(CSM_A)),
    (2, "bench --frames 0"), (2, "bench --batch 0"), (2, "bench --prompt 0"),
    (2, "noise --shape 1 --cuda-threads 0"), (2, "noise --shape 1 --calls 0"),
    (2, "sample logits.st --batch 0"), (2, SAY + ["--batch", "0"]), (2, SAY + ["--sample-rate", "0"]),
    (2, SAY + ["--save-hidden", "0"]), (2, SAY + ["--threads", " 1"]), (2, SAY + ["--temperature", "0x1"]),
    (2, SAY + ["--top-p", " 0.5"]), (2, "analyze a --vocab 0"), (2, "codec encode a.wav o.st --codebooks 0"),
    (2, "codec decode codes.st o.wav --sample-rate 0"), (2, "quantize a b --bits 0"),
    (2, "quantize a b --group 0"), (2, "quantize a b.gguf"), (2, "merge a b.safetensors"),
    (2, "codec encode a.wav o.npy"), (2, SAY + ["--save-tokens", "t.npz"]),
    (2, "noise --shape 1 --output n.npy"), (2, "sample logits.st --output t.PT"),
    (3, "codec decode none.st o.wav"), (3, "generate --from-tokens none.st"),
    (2, "quantize"), (2, "quantize a b --bits 7"), (3, "quantize nowhere b"), (2, "merge"),
    (2, "merge a"), (2, "synth"), (3, "synth --manifest nowhere --output-dir o"),
    (3, "synth --manifest empty --output-dir o"), (2, "detect"), (3, "detect nowhere"), (3, "detect no.wav"), (2, "download"),
    (2, "download nobody"),
]]


def test_what_fails_says_so_with_a_known_message_and_its_exit_code(csm, folder):
    golden = [(messages.pattern(m), code, m) for (_, m), code in messages.golden().items()]
    wrong, seen = [], set()
    for expected, line in FAILING:
        done = csm(*line, check=False, cwd=folder, stdin=0,
                   env={"PATH": "/usr/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1",
                        "CSM_VOICE_DIR": str(CSM_A)})
        told = [text.removeprefix("csm: ") for text in done.stderr.splitlines()
                if text.startswith("csm: ")]
        fitting = [(len(m), m) for p, code, m in golden for text in told[-1:]
                   if str(done.returncode) in code.split(",") and p.fullmatch(text) and
                   m not in ("%s", "%s%s")]
        seen |= {max(fitting)[1]} if fitting else set()
        if done.returncode != expected or not fitting:
            wrong.append(f"{' '.join(line)}: exit {done.returncode}, expected {expected}: "
                         f"{done.stderr!r}")
    print(len(FAILING), "failing calls,", len(seen), "messages")
    assert not wrong, "\n".join(wrong)
    assert len(seen) >= 70
