# SPDX-License-Identifier: Apache-2.0
"""csm generate --adapter against PEFT over transformers, live, on fresh random models: the
same tokens, greedy and drawn, and the same sound where the adapter reaches Mimi.

A draw whose margin is below what merging instead of adding may move is no evidence; there,
and only there, the two may part. CSM_SEED reproduces a run."""

import json
import os
import random
import shutil
import subprocess

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch

from transformers_frames import GOLDEN, random_model, text_ids

peft = pytest.importorskip("peft")

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
FRAMES = 6
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
LANGUAGE = r"(backbone_model|depth_decoder)\..*(q|k|v|o|gate|up|down)_proj"

SPOKEN = text_ids(GOLDEN, "Hello there", 0)[1:5]
CODES = list(range(1, 4 * 1027, 2)) # rows of the audio table

# Names in a shell of what unsloth's and PEFT's own examples ask for, and its neighbours.
KINDS = {
    "lora 4": dict(r=4, lora_alpha=8, target_modules=LANGUAGE),
    "lora 32, as unsloth's, Mimi too": dict(r=32, lora_alpha=32, target_modules=ALL),
    "lora 1, all linear": dict(r=1, lora_alpha=3, target_modules="all-linear"),
    "rslora 8": dict(r=8, lora_alpha=13, use_rslora=True, target_modules=LANGUAGE),
    "dora 6": dict(r=6, lora_alpha=12, use_dora=True, target_modules=LANGUAGE),
    "modules kept whole": dict(r=4, lora_alpha=4, target_modules=ATTENTION,
                               modules_to_save=["lm_head", "codebooks_head"]),
    "ranks and alphas by pattern": dict(
        r=5, lora_alpha=10, target_modules=LANGUAGE,
        rank_pattern={"q_proj": 3, r"layers\.1\.mlp\.up_proj": 7},
        alpha_pattern={"depth_decoder.*k_proj": 1, "v_proj": 20}),
    "tables": dict(r=4, lora_alpha=8, target_modules=["embed_text_tokens", "v_proj"]),
    "dora of a table": dict(r=4, lora_alpha=8, use_dora=True,
                            target_modules=["embed_text_tokens", "q_proj"]),
    "the backbone's audio table alone": dict(r=4, lora_alpha=8,
                                             target_modules=["embed_audio_tokens"]),
    "projector and head": dict(r=4, lora_alpha=8,
                               target_modules=["inputs_embeds_projector", "lm_head"]),
    "the depth decoder's heads": dict(r=3, lora_alpha=6, target_modules=["q_proj"],
                                      target_parameters=["codebooks_head.weight"]),
    "biases of Mimi, trained": dict(r=4, lora_alpha=8, target_modules=ALL, bias="all"),
    "parameters by pattern": dict(
        r=3, lora_alpha=6, target_modules=["v_proj"],
        target_parameters=["codebooks_head.weight", "q_proj.weight"],
        rank_pattern={"codebooks_head": 2, r"layers\.1\..*q_proj\.weight": 5},
        alpha_pattern={"codebooks_head.weight": 9}),
    "rows of two tables": dict(
        r=3, lora_alpha=6, target_modules=["v_proj"],
        trainable_token_indices={"embed_text_tokens": SPOKEN[::-1], "embed_audio_tokens": CODES}),
    "rows of the depth decoder's table": dict(
        r=3, lora_alpha=6, target_modules=["v_proj"],
        trainable_token_indices={"depth_decoder.model.embed_tokens": CODES}),
    "rows alone": dict(token_indices=SPOKEN, target_modules=["embed_text_tokens"]),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    print(f"CSM_SEED={SEED}")
    directory = tmp_path_factory.mktemp("base") / "model"
    random_model(directory, SEED, 4, (2, 64, 4, 2, 16, 96), (2, 48, 4, 1, 12, 80))
    return directory


def make(base, directory, kind):
    """An adapter of random weights, saved by PEFT."""
    torch.manual_seed(SEED + len(kind))
    model = transformers.CsmForConditionalGeneration.from_pretrained(base)
    config = peft.TrainableTokensConfig if "token_indices" in KINDS[kind] else peft.LoraConfig
    model = peft.get_peft_model(model, config(**KINDS[kind]))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad and "magnitude" not in name:
                p.normal_(std=0.15)
            elif p.requires_grad:
                p.mul_(torch.rand_like(p) + 0.5)
    model.save_pretrained(directory)


def reference(base, directory, scale):
    """PeftModel with the adapter's scale set, not merged."""
    model = transformers.CsmForConditionalGeneration.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(model, directory).eval()
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.set_scale("default", scale)
    return model


def generate(csm, base, tmp_path, *args):
    out = tmp_path / "t.safetensors"
    csm("generate", "--model-path", base, "--text", "Hello there", "--engine", "native", "--dtype",
        "f32", "--sampler", "transformers", "--strategy", "exact", "--max-audio-length-ms",
        80 * FRAMES, "--output", "none", "--save-tokens", out, "--quiet", *args)
    return load_file(out)


def assert_same(got, want, error):
    codes, margins = got["codes"].long(), got["margins"]
    for f in range(min(len(codes), len(want))):
        for k in range(codes.shape[1]):
            if codes[f, k] != want[f, k]:
                assert margins[f, k] < error, (f, k, float(margins[f, k]))
                return
    assert len(codes) >= 3 and len(want) >= len(codes)


@torch.no_grad()
def tokens(model, base, temperature, seed):
    ids = torch.tensor([text_ids(base, "Hello there", 0)])
    torch.manual_seed(seed)
    settings = dict(do_sample=temperature > 0)
    if temperature:
        settings |= dict(temperature=temperature, top_k=50)
    return model.generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                          max_new_tokens=FRAMES, **settings,
                          **{f"depth_decoder_{k}": v for k, v in settings.items()})[0]


@pytest.mark.parametrize("kind, change", [("lora 1, all linear", {}), ("tables", {}),
    ("parameters by pattern", {}),
    ("lora 4", {"target_modules": ["q_proj", "self_attn.v_proj"]}),
    ("lora 4", {"target_modules": r"backbone_model\..*_proj"}),
    ("lora 4", {"target_modules": ATTENTION, "exclude_modules": r"depth_decoder\..*"}),
    ("lora 4", {"target_modules": ATTENTION, "exclude_modules": ["v_proj"]}),
    ("lora 4", {"target_modules": ATTENTION, "layers_to_transform": [0]}),
    ("lora 4", {"target_modules": ATTENTION, "layers_to_transform": 1, "layers_pattern": "layers"}),
])
def test_pairs_that_peft_leaves_out_are_told(csm, base, tmp_path, kind, change):
    adapter = tmp_path / "adapter"
    make(base, adapter, kind)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | change))
    places = {name.replace(".default", "") for name, _ in reference(base, adapter, 1).named_parameters()}
    pairs = {name for name in load_file(adapter / "adapter_model.safetensors") if ".lora_A." in name}
    n_left_out = len(pairs - places)
    said = csm("generate", "--model-path", base, "--text", "Hello", "--max-audio-length-ms", 80,
               "--output", "none", "--adapter", adapter).stderr
    assert (f"{n_left_out} pairs are of modules" if change else "") in said
    assert (n_left_out > 0) == bool(change) == ("are of modules" in said)


def shards(tensors, directory):
    """As transformers' save_pretrained cuts a large adapter."""
    names = sorted(tensors)
    for i, part in enumerate((names[::2], names[1::2]), 1):
        save_torch({n: tensors[n] for n in part}, directory / f"adapter_model-0000{i}-of-00002.safetensors")


def one_file(tensors, directory):
    save_torch(tensors, directory / "adapter_model.safetensors")


@pytest.mark.parametrize("write, rename, dtype, settings", [
    (shards, "base_model.model.", torch.float32, {}),
    (one_file, "", torch.float64, {}), # save_peft_format=False
    (one_file, "base_model.model.base_model.model.", torch.float32, {"bias": "lora_only"}),
    (one_file, "base_model.model._orig_mod.", torch.float32, {"fan_in_fan_out": True, "bias": "all"})])
def test_the_same_adapter_in_other_forms(csm, base, tmp_path, write, rename, dtype, settings):
    make(base, tmp_path / "one", "lora 4")
    other = tmp_path / "other"
    other.mkdir()
    tensors = load_file(tmp_path / "one" / "adapter_model.safetensors")
    write({n.replace("base_model.model.", rename): t.to(dtype) for n, t in tensors.items()}, other)
    config = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | settings))
    codes = [generate(csm, base, tmp_path, "--temperature", 0, "--adapter", a)["codes"]
             for a in (tmp_path / "one", other)]
    assert torch.equal(*codes)
    assert not torch.equal(codes[0], generate(csm, base, tmp_path, "--temperature", 0)["codes"])


def test_what_is_no_number_of_an_adapter_is_refused(csm, base, tmp_path):
    make(base, tmp_path / "one", "lora 4")
    path = tmp_path / "one" / "adapter_model.safetensors"
    name, tensors = min(load_file(path)), load_file(path)
    save_torch(tensors | {name: tensors[name].to(torch.int8)}, path)
    done = csm("generate", "--model-path", base, "--text", "Hello", "--output", "none", "--adapter",
               tmp_path / "one", check=False)
    assert done.returncode == 3
    assert done.stderr.endswith(f"{name}: dtype I8, expected F64, F32, F16 or BF16\n")


# All of them take minutes: tests/long/adapters.
SOME = ("lora 4", "rslora 8", "dora 6", "modules kept whole", "ranks and alphas by pattern",
        "parameters by pattern", "rows of two tables", "rows alone")


@pytest.mark.parametrize("kind", KINDS if os.environ.get("CSM_ALL_ADAPTERS") else SOME)
def test_tokens_are_those_of_peft(csm, base, tmp_path, kind):
    make(base, tmp_path / "adapter", kind)
    plain = generate(csm, base, tmp_path, "--temperature", 0)
    for scale in 0, 0.5, 1:
        model = reference(base, tmp_path / "adapter", scale)
        for temperature in 0, 0.9:
            got = generate(csm, base, tmp_path, "--adapter", f"{tmp_path / 'adapter'}:{scale}",
                           "--temperature", temperature, "--topk", 50, "--seed", SEED)
            # Logits are some units large; merging moves them by float32's rounding, 1e-5 of that.
            assert_same(got, tokens(model, base, temperature, SEED), 1e-3)
            if temperature == 0 and scale == 1:
                assert not torch.equal(got["codes"], plain["codes"])


@pytest.mark.parametrize("dtype", ["f32", "q8"])
def test_adapters_kept_beside_the_base(build_dir, base, tmp_path, dtype):
    """One model, four adapters: each one's tokens are those of a PeftModel that is not merged, and
    its bits beside the others are those alone (adapted_codes compares)."""
    kinds = {"small": "lora 4", "every": "rslora 8", "patterned": "ranks and alphas by pattern"}
    for name, kind in kinds.items():
        make(base, tmp_path / name, kind)
    asked = [(name, scale) for name in kinds for scale in (1, 0.5)]
    for temperature in 0, 0.9:
        done = subprocess.run(
            [build_dir / "bin" / "adapted_codes", base, dtype, str(temperature), str(SEED),
             str(FRAMES), *(f"{name}{scale}={tmp_path / name}:{scale}" for name, scale in asked)],
            capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["adapter"] for line in lines] == [f"{n}{s}" for n, s in asked] + [""]
        assert len({str(line["codes"]) for line in lines}) == len(lines)
        for (name, scale), line in zip(asked, lines) if dtype == "f32" else ():
            got = {"codes": torch.tensor(line["codes"]), "margins": torch.tensor(line["margins"])}
            # Sums of float32 in another order: 1e-5 of logits that are some units large.
            assert_same(got, tokens(reference(base, tmp_path / name, scale), base, temperature,
                                    SEED), 1e-3)


@pytest.mark.parametrize("kind, what", [
    ("dora 6", "a magnitude (DoRA)"), ("modules kept whole", "a module kept whole"),
    ("tables", "a pair of a table or a head"), ("rows alone", "rows of a table"),
    ("lora 32, as unsloth's, Mimi too", "a pair of the codec")])
def test_what_cannot_be_kept_beside_is_refused(build_dir, base, tmp_path, kind, what):
    make(base, tmp_path / "adapter", kind)
    done = subprocess.run([build_dir / "bin" / "adapted_codes", base, "f32", "0", "1", "1",
                           f"one={tmp_path / 'adapter'}:1"], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == (f"adapted_codes: adapter {tmp_path / 'adapter'}: it has {what}, expected "
                           "low-rank pairs of the layers' projections alone to keep it beside the "
                           "base: merge it\n")


def test_merging_to_bfloat16_is_pefts(build_dir, base, tmp_path):
    """Base in bfloat16: PEFT's merge rounds base + delta once; so does csm, but where the sum
    over the rank, which PyTorch takes in another order, lies at the border of two values."""
    make(base, tmp_path / "adapter", "lora 4")
    half = tmp_path / "half"
    transformers.CsmForConditionalGeneration.from_pretrained(
        base, dtype=torch.bfloat16).save_pretrained(half)
    shutil.copyfile(base / "tokenizer.json", half / "tokenizer.json")
    model = transformers.CsmForConditionalGeneration.from_pretrained(half)
    model = peft.PeftModel.from_pretrained(model, tmp_path / "adapter").merge_and_unload()
    done = subprocess.run([build_dir / "bin" / "csm", "merge", half, tmp_path / "out", "--adapter",
                           tmp_path / "adapter"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    want = model.state_dict()
    differing = total = 0
    for name, value in load_file(tmp_path / "out" / "model.safetensors").items():
        if name in want and not name.startswith("codec_model."):
            assert value.dtype == torch.bfloat16
            differing += (value != want[name]).sum().item()
            total += value.numel()
    assert total > 100_000
    # A delta summed in another order is off by 1e-7 of itself, and bfloat16 has 256 steps: some
    # one in 2^15 falls to the other side of a step's middle.
    assert differing <= total * 1e-4


def test_an_adapter_that_reaches_mimi_changes_its_codes_and_sound(csm, base, tmp_path):
    make(base, tmp_path / "adapter", "lora 32, as unsloth's, Mimi too")
    merged = tmp_path / "merged"
    csm("merge", base, merged, "--adapter", tmp_path / "adapter")
    codec = reference(base, tmp_path / "adapter", 1).base_model.model.codec_model
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 1000, (9, 4))
    save_file({"codes": codes.astype(np.int32)}, tmp_path / "c.safetensors")
    csm("codec", "decode", tmp_path / "c.safetensors", tmp_path / "f.pcm", "--format", "f32le",
        "--model-path", merged)
    heard = np.frombuffer((tmp_path / "f.pcm").read_bytes(), np.float32)
    with torch.no_grad():
        want = codec.decode(torch.tensor(codes.T[None])).audio_values[0, 0].numpy()
    # float32 through some twenty layers, in another order; without the adapter it is another sound
    assert np.abs(heard - want).max() <= 1e-4 * max(1.0, np.abs(want).max())
    plain = transformers.CsmForConditionalGeneration.from_pretrained(base).codec_model
    with torch.no_grad():
        other = plain.decode(torch.tensor(codes.T[None])).audio_values[0, 0].numpy()
    assert np.abs(want - other).max() > 1e-2 * np.abs(want).max()


def test_the_config_of_a_merged_model_still_opens_in_transformers(csm, base, tmp_path):
    make(base, tmp_path / "adapter", "the backbone's audio table alone")
    csm("merge", base, tmp_path / "merged", "--adapter", tmp_path / "adapter")
    assert json.loads((tmp_path / "merged" / "config.json").read_text())[
        "tie_codebooks_embeddings"] is False
    merged = transformers.CsmForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    model = reference(base, tmp_path / "adapter", 1)
    assert torch.equal(tokens(merged, base, 0, 1), tokens(model, base, 0, 1))
