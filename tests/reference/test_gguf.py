# SPDX-License-Identifier: Apache-2.0
"""GGUF models against the same models in safetensors, with the values that the gguf package
(ggml's) makes of every block; and the tokenizer inside them against tokenizers."""

import json
import os
import random

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import gguf_files
from test_tokenizer import base, compare, encode, smollm2, texts
from transformers_frames import Reference, random_model, silence_the_end

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
TEXT = "Hello there, Sesame: 12345 wonderfully conversational words."
QUANTIZED = gguf_files.SMALL + gguf_files.LARGE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Every width a multiple of 256, as k-quants want it; csm-a's codec and tokenizer. Matrices
    of a size that keeps activations about as they are, as trained ones do."""
    target = tmp_path_factory.mktemp("gguf") / "hf"
    random_model(target, SEED, 8, (2, 256, 4, 2, 64, 512), (2, 256, 4, 2, 64, 256))
    tensors = {k: v * 0.4 if v.ndim > 1 and not k.startswith("codec_model.") else v
               for k, v in gguf_files.tensors_of(target).items()}
    gguf_files.save_tensors(target, tensors)
    silence_the_end(target)
    (target / "generation_config.json").unlink()
    return target


def speak(csm, model, out, *more):
    csm("generate", "--model-path", model, "--engine", "native", "--dtype", "f32", "--strategy",
        "exact", "--seed", 5, "--text", TEXT, "--no-normalize", "--max-audio-length-ms", 400,
        "--output", out.with_suffix(".wav"), "--save-tokens", out, "--save-logits", "--quiet",
        *more)
    return load_file(out)


def info(csm, model):
    return json.loads(csm("info", "--json", model).stdout)


def assert_same(got, want):
    for name in "codes", "logits":
        np.testing.assert_array_equal(got[name], want[name])


def test_f32_speaks_as_its_source_does(csm, model, tmp_path):
    gguf_files.crispasr(tmp_path / "m.gguf", model)
    assert_same(speak(csm, tmp_path / "m.gguf", tmp_path / "a"), speak(csm, model, tmp_path / "b"))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_f32_draws_what_transformers_draws(csm, model, tmp_path):
    gguf_files.crispasr(tmp_path / "m.gguf", model)
    codes = speak(csm, tmp_path / "m.gguf", tmp_path / "a")["codes"]
    want, _ = Reference(model, "f32").generate(TEXT, len(codes), seed=5)
    np.testing.assert_array_equal(codes, want)


@pytest.mark.parametrize("kind", [Type.F16, Type.BF16], ids=lambda k: k.name)
def test_halves_are_exact(csm, model, tmp_path, kind):
    values = gguf_files.crispasr(tmp_path / "m.gguf", model, kind)
    gguf_files.save_values(model, tmp_path / "floats", values)
    got = speak(csm, tmp_path / "m.gguf", tmp_path / "a")
    assert_same(got, speak(csm, tmp_path / "floats", tmp_path / "b"))
    assert info(csm, tmp_path / "m.gguf")["stored_dtype"] == kind.name


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda k: k.name)
def test_every_type_speaks_as_its_values_do(csm, model, tmp_path, kind):
    values = gguf_files.crispasr(tmp_path / "m.gguf", model, kind)
    gguf_files.save_values(model, tmp_path / "floats", values)
    want = speak(csm, tmp_path / "floats", tmp_path / "b")
    got = speak(csm, tmp_path / "m.gguf", tmp_path / "a", "--forced-tokens", tmp_path / "b")
    # docs/ENGINES.md: activations of affine products are off by 1/65278 of their group's
    # largest, which moves logits by up to 4e-4 of their largest. The values themselves are
    # equal bit for bit: tests/unit/test_gguf.c.
    np.testing.assert_allclose(got["logits"], want["logits"], rtol=0,
                               atol=4e-4 * np.abs(want["logits"]).max())
    notes = " ".join(n["text"] for n in info(csm, tmp_path / "m.gguf")["notes"])
    assert f"of {kind.name.lower()}" in notes


OTHERS = {"mlx": ("--engine", "mlx", "--strategy", "exact"),
          "torch": ("--engine", "torch", "--strategy", "hybrid")}


@pytest.mark.parametrize("kind", [Type.F16, Type.Q4_K, Type.Q6_K], ids=lambda k: k.name)
def test_other_engines_read_it_too(csm, model, tmp_path, kind):
    gguf_files.crispasr(tmp_path / "m.gguf", model, kind)
    want = speak(csm, tmp_path / "m.gguf", tmp_path / "a")["logits"]
    for engine, options in OTHERS.items():
        arguments = ("generate", "--model-path", tmp_path / "m.gguf", *options, "--dtype", "f32",
                     "--seed", 5, "--text", TEXT, "--no-normalize", "--max-audio-length-ms", 400,
                     "--output", "none", "--save-tokens", tmp_path / engine, "--save-logits",
                     "--forced-tokens", tmp_path / "a", "--quiet")
        if engine == "mlx" and kind == Type.Q6_K:  # MLX has no groups of 16
            done = csm(*arguments, check=False)
            assert done.returncode == 2
            assert "in groups of 16, expected 32, 64 or 128: engine native reads it" in done.stderr
            continue
        csm(*arguments)
        # Native's affine products, as above; float32 sums in another order are far below it.
        np.testing.assert_allclose(load_file(tmp_path / engine)["logits"], want, rtol=0,
                                   atol=4e-4 * np.abs(want).max())


@pytest.mark.parametrize("kind", [Type.F16, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K],
                         ids=lambda k: k.name)
def test_engine_cuda_reads_it_too(csm, model, tmp_path, kind):
    """Or refuses it in one line: what is neither of 4 nor of 8 bits in groups of 32."""
    gguf_files.crispasr(tmp_path / "m.gguf", model, kind)
    want = speak(csm, tmp_path / "m.gguf", tmp_path / "a")
    done = csm("generate", "--model-path", tmp_path / "m.gguf", "--engine", "cuda", "--dtype",
               "f32", "--seed", 5, "--text", TEXT, "--no-normalize", "--max-audio-length-ms", 400,
               "--output", "none", "--save-tokens", tmp_path / "b", "--save-logits",
               "--forced-tokens", tmp_path / "a", "--quiet", check=False)
    if done.returncode == 4:  # where CI runs there is none
        pytest.skip(f"no card: {done.stderr.strip()}")
    if kind in (Type.Q5_K, Type.Q6_K):
        assert done.returncode == 2
        assert "expected 4 or 8 bits in groups of 32, 64 or 128: engine native reads it" in done.stderr
        return
    got = load_file(tmp_path / "b")
    np.testing.assert_array_equal(got["codes"], want["codes"])
    # native's affine products, as above
    np.testing.assert_allclose(got["logits"], want["logits"], rtol=0,
                               atol=4e-4 * np.abs(want["logits"]).max())


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.Q8_0, Type.Q4_K, Type.Q6_K],
                         ids=lambda k: k.name)
def test_the_pair_of_codec_cpp(csm, model, tmp_path, kind):
    codec = Type.F32 if kind == Type.F32 else Type.F16
    values = gguf_files.pair(tmp_path / "pair", model, kind, codec)
    gguf_files.save_values(model, tmp_path / "floats", values)
    want = speak(csm, tmp_path / "floats", tmp_path / "b")
    for path in "backbone.gguf", "csm.gguf", "":
        got = speak(csm, tmp_path / "pair" / path, tmp_path / "a", "--forced-tokens",
                    tmp_path / "b")
        if kind in gguf_files.FLOATS:
            np.testing.assert_array_equal(got["logits"], want["logits"])
        else: # as above
            np.testing.assert_allclose(got["logits"], want["logits"], rtol=0,
                                       atol=4e-4 * np.abs(want["logits"]).max())
    if kind == Type.F32: # engine native holds a decoder's float32 in 18 bits, halves as they are
        assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_quantize_reads_floats_of_a_gguf(csm, model, tmp_path):
    """csm quantize, from either file: the same bytes."""
    gguf_files.crispasr(tmp_path / "m.gguf", model)
    csm("quantize", tmp_path / "m.gguf", tmp_path / "a", "--bits", 4)
    csm("quantize", model, tmp_path / "b", "--bits", 4)
    assert (tmp_path / "a/model.safetensors").read_bytes() == \
           (tmp_path / "b/model.safetensors").read_bytes()
    assert_same(speak(csm, tmp_path / "a", tmp_path / "ta"),
                speak(csm, tmp_path / "b", tmp_path / "tb"))


def grown(directory, tokenizer):
    """A small model whose text table is the tokenizer's."""
    random_model(directory, SEED, 8, (1, 32, 2, 1, 16, 32), (1, 32, 2, 1, 16, 32))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((directory / "config.json").read_text())
    config["text_vocab_size"] = Tokenizer.from_str(json.dumps(tokenizer)).get_vocab_size()
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize("merges", ["llama", "smollm"])
def test_ids_of_the_tokenizer_inside(build_dir, tmp_path, merges):
    """3,000 texts and 1,000 prompts against tokenizers with the tokenizer.json of the source."""
    rng = random.Random(SEED)
    content = json.loads(base(3000, rng, True).to_str()) if merges == "llama" else smollm2(rng)
    # Of CrispASR's file, which does not say what is added, only <...> and [...] are told.
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"][-1] == ">"]
    content["post_processor"] = None
    model = grown(tmp_path / "hf", content)
    tokenizer = Tokenizer.from_str(json.dumps(content))
    first, last = (tokenizer.token_to_id(t) for t in
                   (("<|begin_of_text|>", "<|end_of_text|>") if merges == "llama" else
                    ("<|im_start|>", "<|im_end|>")))
    gguf_files.crispasr_tokenizer(tmp_path / "a.gguf", model)
    gguf_files.llama_tokenizer(tmp_path / "b.gguf", model,
                               "llama-bpe" if merges == "llama" else "smollm")
    cases = texts(3000, rng)
    for path in tmp_path / "a.gguf", tmp_path / "b.gguf":
        compare(build_dir, tokenizer, path, cases)
        found, _ = encode(build_dir, path, cases[:1000], "prompt")
        assert found == [[first, *tokenizer.encode(f"[7]{t}").ids, last] for t in cases[:1000]]
