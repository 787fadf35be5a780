# SPDX-License-Identifier: Apache-2.0
"""Malformed GGUF files: exit code 3, one clear line, no output left behind."""

import os
import pathlib
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "reference"))
import gguf_files  # noqa: E402
import small_model  # noqa: E402
from gguf_bytes import ARRAY, STRING, Gguf, text  # noqa: E402
from refusal import assert_refused, good, model  # noqa: E402, F401

WK, NORM = "backbone.blk.1.attn_k.weight", "backbone.output_norm.weight"
WORD = "backbone.blk.0.ffn_up.weight"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    small_model.write(directory)
    gguf_files.crispasr(directory / "good.gguf", directory)
    return directory / "good.gguf"


def speak(csm, path, out):
    return csm("generate", "--model-path", path, "--text", "Hi", "--seed", 1, "--engine", "native",
               "--max-audio-length-ms", 160, "--quiet", "--output", out, check=False)


def test_the_file_itself_is_fine(csm, good, tmp_path):
    done = speak(csm, good, tmp_path / "out.wav")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.wav").exists()


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def pair(key, kind, value):
    return lambda g: g.pairs.__setitem__(key, (kind, value))


def drop(key):
    return lambda g: g.pairs.pop(key) and None


def tensor(name, place, value):
    return lambda g: g.tensors[name].__setitem__(place, value)


def rename(old, new):
    def apply(g):
        g.tensors = {new if k == old else k: v for k, v in g.tensors.items()}
    return apply


def version(n):
    return lambda g: setattr(g, "version", n)


def overlap(g):
    first, second = sorted(g.tensors, key=lambda n: g.tensors[n][2])[:2]
    g.tensors[second][2] = g.tensors[first][2]


def shorter(n):
    return lambda g: setattr(g, "data", g.data[:n])


# What is changed, and what the line must tell.
EDITS = {
    "version 1": (version(1), "version 1, expected 2 or 3"),
    "version 4": (version(4), "version 4, expected 2 or 3"),
    "the big end first": (version(3 << 24), "big end first"),
    "empty key": (pair("", 4, u32(1)), "a key of 0 bytes"),
    "key with a zero": (pair("a\0b", 4, u32(1)), "a key of 3 bytes"),
    "value type unknown": (pair("x", 13, u32(1)), "x: value of type 13, expected 0 to 12"),
    "array of arrays": (pair("x", ARRAY, u32(ARRAY) + u64(1)), "x: an array of type 9"),
    "array type unknown": (pair("x", ARRAY, u32(99) + u64(1)), "x: an array of type 99"),
    "array longer than the file": (pair("x", ARRAY, u32(4) + u64(1 << 60)),
                                   "x: an array of 1152921504606846976"),
    "string array longer than the file": (pair("x", ARRAY, u32(STRING) + u64(1 << 61)),
                                          "x: an array of 2305843009213693952"),
    "string longer than the file": (pair("x", STRING, u64(1 << 63)),
                                    "x: a string of 9223372036854775808 bytes"),
    "alignment no power of two": (pair("general.alignment", 4, u32(24)), "general.alignment"),
    "alignment zero": (pair("general.alignment", 4, u32(0)), "general.alignment"),
    "alignment a string": (pair("general.alignment", STRING, text("32")), "general.alignment"),
    "no architecture": (drop("general.architecture"), "general.architecture: missing"),
    "another architecture": (pair("general.architecture", STRING, text("whisper")),
                             "general.architecture whisper, expected csm-tts"),
    "csm.rs's architecture": (pair("general.architecture", STRING, text("csm")), "csm.rs"),
    "half of a pair": (pair("general.architecture", STRING, text("llama")),
                       "half of a model (the backbone)"),
    "layers a string": (pair("csm.backbone.n_layers", STRING, text("2")),
                        "csm.backbone.n_layers: expected an integer"),
    "theta a string": (pair("csm.backbone.rope_theta", STRING, text("5e5")),
                       "csm.backbone.rope_theta: expected a number"),
    "theta infinite": (pair("csm.backbone.rope_theta", 6, struct.pack("<f", float("inf"))),
                       "csm.backbone.rope_theta: expected a number"),
    "more layers than there are": (pair("csm.backbone.n_layers", 4, u32(3)), "missing, expected"),
    "heads that do not divide": (pair("csm.backbone.n_heads", 4, u32(0)), "num_attention_heads"),
    "more codebooks than heads": (pair("csm.audio_num_codebooks", 4, u32(7)), "expected"),
    "tokens no strings": (pair("tokenizer.ggml.tokens", ARRAY, u32(4) + u64(1) + u32(1)),
                          "tokenizer.ggml.tokens: expected an array of strings"),
    "a token no UTF-8": (pair("tokenizer.ggml.tokens", ARRAY,
                              u32(STRING) + u64(1) + text(b"\xff\xfe")), "is not UTF-8"),
    "another kind of tokenizer": (pair("tokenizer.ggml.model", STRING, text("llama")),
                                  "tokenizer.ggml.model: expected gpt2"),
    "another pre-tokenizer": (pair("tokenizer.ggml.pre", STRING, text("qwen2")),
                              "tokenizer.ggml.pre: qwen2, expected llama-bpe"),
    "token types too few": (pair("tokenizer.ggml.token_type", ARRAY, u32(5) + u64(1) + u32(1)),
                            "tokenizer.ggml.token_type: expected an integer for each of"),
    "no axes": (tensor(WK, 0, []), f"{WK}: 0 axes, expected 1 to 4"),
    "five axes": (tensor(WK, 0, [1] * 5), f"{WK}: 5 axes, expected 1 to 4"),
    "an axis of zero": (tensor(WK, 0, [32, 0]), f"{WK}: 0 along axis 1"),
    "an axis of 2^63": (tensor(WK, 0, [32, 1 << 63]), f"{WK}: 9223372036854775808 along axis 1"),
    "size overflows": (tensor(WK, 0, [1 << 40, 1 << 40]), f"{WK}: its size overflows"),
    "type unknown": (tensor(WK, 1, 77), f"{WK}: type 77 (unknown), expected f32"),
    "a type that is not read": (tensor(WK, 1, 23), f"{WK}: type 23 (iq4_xs), expected f32"),
    "rows of no whole blocks": (tensor("depth.blk.0.attn_q.weight", 1, 8), "a multiple of 32"),
    "offset not aligned": (tensor(WK, 2, 4), f"{WK}: at offset 4, expected a multiple of 32"),
    "offset beyond the file": (tensor(WK, 2, 1 << 40), f"{WK}: "),
    "offset near 2^64": (tensor(WK, 2, (1 << 64) - 32), f"{WK}: "),
    "tensors over each other": (overlap, "overlap, expected each by itself"),
    "data cut": (shorter(64), "but the file ends 64 after its header"),
    "no data": (shorter(0), "but the file ends 0 after its header"),
    "name of 64 bytes": (rename(WK, "n" * 64), "a tensor's name of 64 bytes"),
    "empty name": (rename(WK, ""), "a tensor's name of 0 bytes"),
    "tensor missing": (rename(WK, "something.else"), "missing, expected [16, 32]"),
    "tensor of another shape": (tensor(WK, 0, [16, 32]), f"{WK}: shape [32, 16], expected"),
    "norm a matrix": (tensor(NORM, 0, [16, 2]), f"{NORM}: shape [2, 16], expected [32]"),
    "an unmerged low-rank pair": (rename("depth.output_norm.weight",
                                         "depth.blk.0.attn_q.lora_a"), "missing, expected"),
}


@pytest.mark.parametrize("what", EDITS)
def test_edited(csm, good, tmp_path, what):
    edit, why = EDITS[what]
    g = Gguf(good)
    edit(g)
    g.write(tmp_path / "bad.gguf")
    assert_refused(speak(csm, tmp_path / "bad.gguf", tmp_path / "out.wav"), tmp_path / "out.wav",
                   why)


COUNTS = {
    "2^60 tensors": (dict(n_tensors=1 << 60), "1152921504606846976 tensors with"),
    "2^60 pairs": (dict(n_pairs=1 << 60), "1152921504606846976 key-value pairs with"),
}


@pytest.mark.parametrize("what", ["2^60 tensors", "2^60 pairs"])
def test_counts_of_hostile_files(csm, good, tmp_path, what):
    counts, why = COUNTS[what]
    Gguf(good).write(tmp_path / "bad.gguf", **counts)
    assert_refused(speak(csm, tmp_path / "bad.gguf", tmp_path / "out.wav"), tmp_path / "out.wav",
                   why)


@pytest.mark.parametrize("kind", ["key", "tensor"])
def test_names_twice(csm, good, tmp_path, kind):
    g = Gguf(good)
    head = g.header(n_tensors=len(g.tensors) + (kind == "tensor"),
                    n_pairs=len(g.pairs) + (kind == "key"))
    if kind == "key":
        at = 24
        again = text("csm.bos_token_id") + u32(4) + u32(1)
    else:
        at = len(head)
        sizes, type_, offset = g.tensors[WK]
        again = text(WK) + struct.pack("<I2QIQ", 2, *sizes, type_, offset)
    head = head[:at] + again + head[at:]
    (tmp_path / "bad.gguf").write_bytes(head + b"\0" * (-len(head) % 32) + g.data)
    assert_refused(speak(csm, tmp_path / "bad.gguf", tmp_path / "out.wav"), tmp_path / "out.wav",
                   f"a {kind} twice, expected once")


@pytest.mark.parametrize("n", [0, 3, 4, 7, 12, 23, 24, 30, 100, 1000, 5000])
def test_cut(csm, good, tmp_path, n):
    (tmp_path / "bad.gguf").write_bytes(good.read_bytes()[:n])
    assert_refused(speak(csm, tmp_path / "bad.gguf", tmp_path / "out.wav"), tmp_path / "out.wav",
                   "bad.gguf")


def test_two_models_in_a_directory(csm, good, tmp_path):
    for name in "a.gguf", "b.gguf":
        (tmp_path / name).write_bytes(good.read_bytes())
    assert_refused(speak(csm, tmp_path, tmp_path / "out.wav"), tmp_path / "out.wav",
                   "several GGUF files are models (a.gguf, b.gguf), expected one")


def test_a_directory_of_one_opens(csm, good, tmp_path):
    (tmp_path / "a.gguf").write_bytes(good.read_bytes())
    assert speak(csm, tmp_path, tmp_path / "out.wav").returncode == 0


def spoil(path, edit):
    g = Gguf(path)
    edit(g)
    g.write(path)


PAIRS = {
    "another rotation": ("backbone.gguf", lambda g: setattr(
        g, "data", struct.pack("<8f", *[3.0] * 8) + g.data[32:]), "expected csm-1b's factors"),
    "rope scaling": ("backbone.gguf", pair("llama.rope.scaling.type", STRING, text("yarn")),
                     "llama.rope.scaling.type: expected none"),
    "codebooks of two sizes": ("csm.gguf", pair("codec.lm.codebook_sizes", ARRAY,
                                                u32(4) + u64(2) + u32(19) + u32(20)),
                               "expected one number of codes for all codebooks"),
    "a table missing": ("csm.gguf", rename("lm.audio_embd_1.weight", "lm.audio_embd_7.weight"),
                        "number 1 is missing"),
    "mixed channels": ("csm.gguf", None, "are mixed, expected each by itself"),
    "an odd head": ("backbone.gguf", pair("llama.attention.key_length", 4, u32(3)),
                    "expected heads of an even width"),
}


@pytest.mark.parametrize("what", PAIRS)
def test_pairs(csm, good, tmp_path, what):
    name, edit, why = PAIRS[what]
    gguf_files.pair(tmp_path / "pair", good.parent)
    if edit is None:
        def edit(g):
            at = g.tensors["up.cv.w"][2] + 16
            g.data = g.data[:at] + struct.pack("<f", 1) + g.data[at + 4:]
    spoil(tmp_path / "pair" / name, edit)
    assert_refused(speak(csm, tmp_path / "pair", tmp_path / "out.wav"), tmp_path / "out.wav", why)
