# SPDX-License-Identifier: Apache-2.0
"""Malformed model directories and sounds: exit code 3, one clear line, no output left behind."""

import json
import os
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from refusal import assert_refused, good, model, speak  # noqa: E402, F401
from small_model import read_safetensors, replace_tensor, write_safetensors, zeros  # noqa: E402

WK = "backbone_model.layers.1.self_attn.k_proj.weight"
NORM = "backbone_model.norm.weight"


def test_the_model_itself_is_fine(csm, model):
    done, out = speak(csm, model)
    assert done.returncode == 0, done.stderr
    assert out.exists()


# ---- safetensors --------------------------------------------------------------

def header_of(change):
    def apply(path):
        header, data = read_safetensors(path)
        result = change(header)
        write_safetensors(path, header if result is None else result, data)
    return apply


def entry(key, value):
    return header_of(lambda h: h[WK].__setitem__(key, value))


def first(header):
    return min((k for k in header if k != "__metadata__"),
               key=lambda k: header[k]["data_offsets"])


def overlap(header):
    names = sorted((k for k in header if k != "__metadata__"),
                   key=lambda k: header[k]["data_offsets"])
    a, b = header[names[3]]["data_offsets"], header[names[4]]["data_offsets"]
    header[names[4]]["data_offsets"] = [a[0], a[0] + b[1] - b[0]]


def twice(header):
    text = json.dumps(header)
    name = json.dumps(WK)
    return text.replace("{", "{" + name + ": " + json.dumps(header[WK]) + ", ", 1).encode()


def cut_to(fraction):
    def apply(path):
        raw = path.read_bytes()
        path.write_bytes(raw[:int(len(raw) * fraction)])
    return apply


def raw(content):
    return lambda path: path.write_bytes(content)


def deep(path):
    write_safetensors(path, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"")


def pickle_dict(path):
    path.write_bytes(b"\x80\x02}q\x00X\x03\x00\x00\x00abcq\x01K\x01s.")


SAFETENSORS = {
    "empty": (raw(b""), "0 bytes"),
    "seven bytes": (raw(b"\x02\0\0\0\0\0\0"), "7 bytes"),
    "length only": (raw(struct.pack("<Q", 100)), "header of 100 bytes in a file of 8"),
    "length zero": (raw(struct.pack("<Q", 0) + b"{}"), "expected a JSON object"),
    "length all ones": (raw(b"\xff" * 8 + b"{}"), "at most 100000000"),
    "length above the cap": (raw(struct.pack("<Q", 100_000_001) + b"{}"), "at most 100000000"),
    "no object": (raw(struct.pack("<Q", 2) + b"[]"), "expected a JSON object"),
    "no JSON": (raw(struct.pack("<Q", 4) + b"{abc"), "header, byte"),
    "garbage after the object": (raw(struct.pack("<Q", 4) + b"{} x"), "end of file expected"),
    "bad UTF-8": (raw(struct.pack("<Q", 8) + b'{"\xff":1}' + b" "), "0xff"),
    "nested without end": (deep, "depth"),
    "pickle": (pickle_dict, "pickle"),
    "zip of torch.save": (raw(b"PK\x03\x04" + b"\0" * 60), "weights_only=True"),
    "GGUF": (raw(b"GGUF\x03\0\0\0" + b"\0" * 60), "GGUF"),
    "LFS pointer": (raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
                    "git lfs pull"),
    "name twice": (header_of(twice), "duplicate"),
    "metadata not strings": (header_of(lambda h: h.__setitem__("__metadata__", {"a": 1})),
                             "__metadata__ a"),
    "unknown dtype": (entry("dtype", "F6_E2M3"), "F6_E2M3"),
    "dtype a number": (entry("dtype", 4), "dtype of " + WK),
    "no dtype": (header_of(lambda h: h[WK].pop("dtype") and None), "dtype of " + WK),
    "no shape": (header_of(lambda h: h[WK].pop("shape") and None), "shape of " + WK),
    "negative size": (entry("shape", [-16, 32]), "shape of " + WK),
    "fractional size": (entry("shape", [16.0, 32]), "shape of " + WK),
    "too many axes": (entry("shape", [16, 32] + [1] * 7), "9 dimensions"),
    "size overflows": (entry("shape", [2**62, 2**62]), "overflows"),
    "size beyond 64 bits": (entry("shape", [2**70, 1]), "too big"),
    "shape disagrees with offsets": (entry("shape", [16, 31]), "by shape and dtype"),
    "no offsets": (header_of(lambda h: h[WK].pop("data_offsets") and None),
                   "data_offsets of " + WK),
    "three offsets": (entry("data_offsets", [0, 1, 2]), "data_offsets of " + WK),
    "negative offset": (entry("data_offsets", [-1, 2047]), "data_offsets of " + WK),
    "end before begin": (entry("data_offsets", [4096, 2048]), "lies after end"),
    "offsets beyond the file": (entry("data_offsets", [2**40, 2**40 + 2048]), "gap"),
    "overlap": (header_of(overlap), "overlap"),
    "gap": (header_of(lambda h: h.pop(first(h)) and None), "gap"),
    "entry not an object": (header_of(lambda h: h.__setitem__(WK, 3)), "data_offsets of " + WK),
    "one byte more": (lambda p: p.write_bytes(p.read_bytes() + b"\0"), "after the last tensor"),
    "one byte less": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "cut short"),
    "half": (cut_to(0.5), "cut short"),
    "a tenth of a percent": (cut_to(0.001), "cut short"),
    # bound by name and shape
    "tensor missing": (lambda p: replace_tensor(p, WK, None), WK + ": missing, expected [16, 32]"),
    "tensor under another name": (lambda p: replace_tensor(p, WK, zeros(16, 32), rename="x"),
                                  WK + ": missing"),
    "wrong shape": (lambda p: replace_tensor(p, WK, zeros(16, 16)),
                    WK + ": shape [16, 16], expected [16, 32] (model.safetensors)"),
    "transposed": (lambda p: replace_tensor(p, WK, zeros(32, 16)), "expected [16, 32]"),
    "flat": (lambda p: replace_tensor(p, WK, zeros(512)), "shape [512], expected [16, 32]"),
    "empty tensor": (lambda p: replace_tensor(p, WK, zeros(0, 32)), "shape [0, 32]"),
    "norm of wrong length": (lambda p: replace_tensor(p, NORM, zeros(31)), "expected [32]"),
    "integers for weights": (lambda p: replace_tensor(p, WK, zeros(16, 32, dtype="int32")),
                             "dtype I32"),
    "quantized without scales": (lambda p: replace_tensor(p, WK, zeros(16, 8, dtype="uint32")),
                                 ".scales"),
    "codec's table of wrong shape": (
        lambda p: replace_tensor(
            p, "codec_model.quantizer.semantic_residual_vector_quantizer.layers.0.codebook."
               "embed_sum", zeros(8, 8)), "expected [16, 8]"),
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors(csm, model, case):
    change, why = SAFETENSORS[case]
    change(model / "model.safetensors")
    assert_refused(*speak(csm, model), why)


def test_safetensors_cut_at_every_boundary(csm, model):
    path = model / "model.safetensors"
    whole = path.read_bytes()
    n = struct.unpack("<Q", whole[:8])[0]
    header, _ = read_safetensors(path)
    ends = sorted(v["data_offsets"][1] for k, v in header.items() if k != "__metadata__")
    for cut in [*range(0, 10), 8 + n // 2, 8 + n - 1, 8 + n, *(8 + n + e for e in ends[:-1:16])]:
        path.write_bytes(whole[:cut])
        assert_refused(*speak(csm, model), "model.safetensors")


# ---- directories and index files ----------------------------------------------

def make_sharded(model):
    """Split in two shards with an index."""
    header, data = read_safetensors(model / "model.safetensors")
    names = [k for k in header if k != "__metadata__"]
    weight_map = {}
    for i, part in enumerate((names[::2], names[1::2])):
        out, body = {}, b""
        for name in part:
            begin, end = header[name]["data_offsets"]
            out[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
            body += data[begin:end]
            weight_map[name] = f"x-{i}.safetensors"
        write_safetensors(model / f"x-{i}.safetensors", out, body)
    (model / "model.safetensors").unlink()
    (model / "x.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return weight_map


def test_shards_are_fine(csm, model):
    make_sharded(model)
    done, _ = speak(csm, model)
    assert done.returncode == 0, done.stderr


def reindex(change):
    def apply(model):
        weight_map = make_sharded(model)
        content = change(weight_map)
        (model / "x.safetensors.index.json").write_text(
            content if isinstance(content, str) else json.dumps({"weight_map": weight_map}))
    return apply


def test_what_an_index_forgets_comes_with_its_shard(csm, model):
    reindex(lambda m: m.pop(WK) and None)(model)
    done, _ = speak(csm, model)
    assert done.returncode == 0, done.stderr


def unlink(name):
    return lambda model: (model / name).unlink()


def as_directory(name):
    def apply(model):
        (model / name).unlink()
        (model / name).mkdir()
    return apply


def only_pickle(model):
    (model / "model.safetensors").rename(model / "keep.txt")
    (model / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"\0" * 60)


def no_codec(model):
    header, _ = read_safetensors(model / "model.safetensors")
    for name in header:
        if name.startswith("codec_model."):
            replace_tensor(model / "model.safetensors", name, None)


DIRECTORIES = {
    "no weights": (unlink("model.safetensors"), "no weights of a CSM"),
    "weights a directory": (as_directory("model.safetensors"), "is a directory"),
    "only a pickle": (only_pickle, "pickle"),
    "no config": (unlink("config.json"), "config.json: missing"),
    "config a directory": (as_directory("config.json"), "is a directory"),
    "no tokenizer": (unlink("tokenizer.json"), "tokenizer.json"),
    "tokenizer a directory": (as_directory("tokenizer.json"), "is a directory"),
    "no codec": (no_codec, "codec"),
    "index not JSON": (reindex(lambda m: "{"), "line 1"),
    "index without a map": (reindex(lambda m: "{}"), "weight_map"),
    "index with an empty map": (reindex(lambda m: '{"weight_map": {}}'), "weight_map"),
    "index names a number": (reindex(lambda m: m.__setitem__(WK, 1)), "weight_map of " + WK),
    "index leaves the directory": (reindex(lambda m: m.__setitem__(WK, "../x-0.safetensors")),
                                   "weight_map of " + WK),
    "index names a missing shard": (reindex(lambda m: m.__setitem__(WK, "x-7.safetensors")),
                                    "x-7.safetensors"),
    "index names the wrong shard": (
        reindex(lambda m: m.__setitem__(WK, "x-1.safetensors" if m[WK][2] == "0"
                                        else "x-0.safetensors")), WK + ": missing"),
}


@pytest.mark.parametrize("case", DIRECTORIES)
def test_directory(csm, model, case):
    change, why = DIRECTORIES[case]
    change(model)
    assert_refused(*speak(csm, model), why)


def test_a_path_that_is_nothing_or_a_file(csm, model):
    assert_refused(*speak(csm, model / "nothing"), "nothing")
    file = model / "model.safetensors"
    done = csm("generate", "--model-path", file, "--text", "Hi", "--output", "none", check=False)
    assert_refused(done, model.parent / "out.wav", "expected a model directory")


def test_an_unreadable_file(build_dir, model):
    """Root may read everything, but for one that has given up that right."""
    rightless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

    def csm(*args, check):
        return subprocess.run([*rightless, build_dir / "bin" / "csm", *map(str, args)], capture_output=True, text=True,
                              check=check)

    (model / "model.safetensors").chmod(0)
    assert_refused(*speak(csm, model), "Permission denied")


# ---- config.json ---------------------------------------------------------------

def config(**changes):
    def apply(model):
        path = model / "config.json"
        content = json.loads(path.read_text())
        for key, value in changes.items():
            target, names = content, key.split("__")
            for name in names[:-1]:
                target = target[name]
            target[names[-1]] = value
        path.write_text(json.dumps(content))
    return apply


def text_file(name, content):
    return lambda model: (model / name).write_bytes(content)


CONFIGS = {
    "empty": (text_file("config.json", b""), "config.json"),
    "not JSON": (text_file("config.json", b"{nope}"), "line 1"),
    "an array": (text_file("config.json", b"[]"), "expected a JSON object"),
    "bad UTF-8": (text_file("config.json", b'{"a": "\xff"}'), "0xff"),
    "zero layers": (config(num_hidden_layers=0), "num_hidden_layers"),
    "negative width": (config(hidden_size=-32), "hidden_size"),
    "huge width": (config(hidden_size=2**40), "hidden_size"),
    "width a string": (config(hidden_size="32"), "hidden_size"),
    "width a fraction": (config(hidden_size=32.5), "hidden_size"),
    "other width": (config(hidden_size=64, head_dim=16), "hidden_size"),
    "more layers than weights": (config(num_hidden_layers=3), "backbone_model.layers.2"),
    "heads that do not divide": (config(num_key_value_heads=3), "num_key_value_heads"),
    "odd head": (config(head_dim=15), "head_dim"),
    "other head": (config(head_dim=32), "expected [64, 32]"),
    "biases": (config(attention_bias=True), "attention_bias"),
    "other activation": (config(hidden_act="gelu"), "hidden_act"),
    "other rotation": (config(rope_parameters={"rope_type": "yarn", "factor": 2.0}), "yarn"),
    "rotation incomplete": (config(rope_parameters={"rope_type": "llama3", "factor": 2.0}),
                            "low_freq_factor"),
    "eps a string": (config(rms_norm_eps="x"), "rms_norm_eps"),
    "depth not an object": (config(depth_decoder_config=3), "depth_decoder_config"),
    "depth of other codebooks": (config(depth_decoder_config__num_codebooks=4), "num_codebooks"),
    "one codebook": (config(num_codebooks=1), "num_codebooks"),
    "codes beyond the vocabulary": (config(codebook_eos_token_id=19), "codebook_eos_token_id"),
    "more codes than rows can be counted": (
        config(vocab_size=2**24, num_codebooks=256, depth_decoder_config__vocab_size=2**24,
               depth_decoder_config__num_codebooks=256), "expected at most 2147483647 rows"),
    "codec not causal": (config(codec_config__use_causal_conv=False), "use_causal_conv"),
    "codec's ratios": (config(codec_config__upsampling_ratios=[]), "upsampling_ratios"),
    "codec's frame rate": (config(codec_config__frame_rate=50.0), "frame_rate"),
    "codec all semantic": (config(codec_config__num_semantic_quantizers=3),
                           "num_semantic_quantizers"),
    "temperature negative": (text_file("generation_config.json", b'{"temperature": -1}'),
                             "temperature"),
    "top_k a string": (text_file("generation_config.json", b'{"top_k": "50"}'), "top_k"),
    "generation config not JSON": (text_file("generation_config.json", b"x"), "line 1"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_config(csm, model, case):
    change, why = CONFIGS[case]
    change(model)
    assert_refused(*speak(csm, model), why)


# ---- tokenizer.json ------------------------------------------------------------

def tokenizer(change):
    def apply(model):
        path = model / "tokenizer.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    return apply


def put(*keys_and_value):
    *keys, value = keys_and_value

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value
    return tokenizer(change)


TOKENIZERS = {
    "empty": (text_file("tokenizer.json", b""), "tokenizer.json"),
    "cut": (lambda m: (m / "tokenizer.json").write_bytes(
        (m / "tokenizer.json").read_bytes()[:1000]), "tokenizer.json"),
    "bad UTF-8": (text_file("tokenizer.json", b'{"model": "\xc3"}'), "0xc3"),
    "no model": (tokenizer(lambda t: t.pop("model")), "model"),
    "other model": (put("model", "type", "WordPiece"), "WordPiece"),
    "no vocabulary": (tokenizer(lambda t: t["model"].pop("vocab")), "model.vocab"),
    "vocabulary an array": (put("model", "vocab", []), "model.vocab"),
    "id negative": (put("model", "vocab", "a", -1), "model.vocab"),
    "id a string": (put("model", "vocab", "a", "1"), "model.vocab"),
    "merges a number": (put("model", "merges", 3), "model.merges"),
    "merge of one": (put("model", "merges", ["ab"]), "model.merges, number 0"),
    "merge of three": (put("model", "merges", ["a b c"]), "model.merges, number 0"),
    "merge of unknown tokens": (put("model", "merges", [["a", "b"]]), "make a third"),
    "normalizer": (put("normalizer", {"type": "NFC"}), "NFC"),
    "other pre-tokenizer": (put("pre_tokenizer", {"type": "Whitespace"}), "Whitespace"),
    "no pre-tokenizer": (put("pre_tokenizer", None), "ByteLevel"),
    "bad pattern": (put("pre_tokenizer", {"type": "Split", "behavior": "Isolated",
                                          "pattern": {"Regex": "(("}}), "pattern (("),
    **{f"read apart: {regex}": (put("pre_tokenizer", {
        "type": "Split", "behavior": "Isolated", "pattern": {"Regex": regex}}),
        "which tokenizers reads otherwise") for regex in (
            r"\h+", r"[\H]", r"\v", r"[a-c[x-z]]+", r"[\p{L}&&[^a-z]]+", "a{,2}", "(?m:a.)", "(?i:STRASSE)",
            r"\Qa\E", "(*UCP)a", "(?i)K\u212a")},
    "other behavior": (put("pre_tokenizer", {"type": "Split", "behavior": "Removed",
                                             "pattern": {"Regex": "x"}}), "Removed"),
    "other post-processor": (put("post_processor", {"type": "BertProcessing"}), "BertProcessing"),
    "template of unknown token": (put("post_processor", "special_tokens", {}), "post_processor"),
    "template without text": (put("post_processor", "single", []), "post_processor"),
    "added token without content": (put("added_tokens", [{"id": 1}]), "added_tokens, number 0"),
    "ids beyond the model": (put("post_processor", "special_tokens", "<|end_of_text|>", "ids",
                                 [264]), "264"),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_tokenizer(csm, model, case):
    change, why = TOKENIZERS[case]
    change(model)
    assert_refused(*speak(csm, model), why)


# ---- sounds of the context, and the output --------------------------------------

def wav(n_samples=1920, channels=1, bits=16, kind=1, rate=24000, data=None, claimed=None):
    data = b"\0" * (n_samples * channels * bits // 8) if data is None else data
    claimed = len(data) if claimed is None else claimed
    return (b"RIFF" + struct.pack("<I", 36 + claimed) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * channels * bits // 8,
                        channels * bits // 8, bits) + b"data" + struct.pack("<I", claimed) + data)


SOUNDS = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no sound", "not a sound file"),
    "RIFF alone": (b"RIFF", "not a sound file"),
    "no format": (b"RIFF\x04\0\0\0WAVE", "not a sound file"),
    "no samples": (wav(0), "no samples"),
    "no channels": (wav(channels=0, data=b"\0" * 64), "not a sound file"),
    "unknown coding": (wav(kind=0x4321), "not a sound file"),
    "not a number": (wav(bits=32, kind=3, data=struct.pack("<2f", 0.5, float("nan"))),
                     "sample 1 is not finite"),
    "cut in the header": (wav()[:30], "not a sound file"),
    "cut before the samples": (wav()[:44], "no samples"),
}


@pytest.mark.parametrize("case", SOUNDS)
def test_sound(csm, model, case):
    content, why = SOUNDS[case]
    path = model / "context.wav"
    path.write_bytes(content)
    assert_refused(*speak(csm, model, "--context-audio", path, "--context-text", "Hi"), why)


def test_sound_missing_or_a_directory(csm, model):
    for path, why in ((model / "no.wav", "no.wav"), (model, "is a directory")):
        assert_refused(*speak(csm, model, "--context-audio", path, "--context-text", "Hi"), why)


def test_full_disk(csm, model):
    done = csm("generate", "--model-path", model, "--text", "Hi", "--seed", 1, "--quiet",
               "--engine", "native", "--max-audio-length-ms", 160, "--output", "/dev/full",
               check=False)
    assert_refused(done, model.parent / "out.wav", "/dev/full")


def test_output_that_cannot_be_made(csm, model):
    directory = model / "d.wav"
    directory.mkdir()
    for out, why in ((model / "no" / "out.wav", "out.wav"), (directory, "is a directory")):
        done = csm("generate", "--model-path", model, "--text", "Hi", "--seed", 1, "--quiet",
                   "--engine", "native", "--max-audio-length-ms", 160, "--output", out, check=False)
        assert_refused(done, model.parent / "out.wav", why)
