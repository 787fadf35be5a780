# SPDX-License-Identifier: Apache-2.0
"""generation_config.json as transformers reads it, live: the same tokens with no other
setting given, what a file leaves out included; the command's own options; and by name
what this program does not do."""

import json
import os
import random
import shutil

import pytest
import torch
import transformers

from transformers_frames import endless_golden, text_ids
from safetensors.torch import load_file

SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))
FRAMES = 5
DRAWN = {"do_sample": True, "depth_decoder_do_sample": True}
FULL = DRAWN | {"temperature": 0.9, "top_k": 50, "depth_decoder_temperature": 0.9,
                "depth_decoder_top_k": 50}

FILES = {
    "nothing in it": {},
    "no do_sample": {"temperature": 0.9, "top_k": 50},
    "the backbone alone is sampled": {"do_sample": True, "temperature": 0.9, "top_k": 50},
    "the depth decoder alone is sampled": {"depth_decoder_do_sample": True},
    "no temperature": DRAWN | {"top_k": 50},
    "no top_k": DRAWN | {"temperature": 0.7, "depth_decoder_temperature": 1.2},
    "nulls": DRAWN | {"temperature": None, "top_k": None, "top_p": None, "min_p": None},
    "top_k 0": DRAWN | {"top_k": 0, "depth_decoder_top_k": 3},
    "top_p": FULL | {"top_p": 0.5},
    "the depth decoder's top_p": FULL | {"depth_decoder_top_p": 0.3},
    "min_p": FULL | {"min_p": 0.2, "depth_decoder_min_p": 0.05},
    "top_p and min_p": FULL | {"top_p": 0.9, "min_p": 0.1, "depth_decoder_top_p": 0.8,
                               "depth_decoder_min_p": 0.1},
    "temperature alone below": DRAWN | {"temperature": 0.4, "depth_decoder_temperature": 0.4,
                                        "top_k": 0, "top_p": 0.95},
    "other keys that change nothing": FULL | {
        "num_beams": 1, "length_penalty": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0,
        "repetition_penalty": 1.0, "use_cache": True, "pad_token_id": 518,
        "encoder_no_repeat_ngram_size": 0, "transformers_version": "4.52.1"},
    "a greedy file's warpers do not act": {"top_p": 0.5, "typical_p": 0.5, "min_p": 0.5,
                                           "epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "top_h": 0.1},
    "typical_p": FULL | {"typical_p": 0.5, "depth_decoder_typical_p": 0.8},
    "epsilon_cutoff": FULL | {"epsilon_cutoff": 0.02, "depth_decoder_epsilon_cutoff": 0.03},
    "eta_cutoff": FULL | {"eta_cutoff": 0.03, "depth_decoder_eta_cutoff": 0.2},
    "top_h": FULL | {"top_h": 0.4, "depth_decoder_top_h": 0.6},
    "every cutoff": DRAWN | {"top_h": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.01,
                             "typical_p": 0.9, "epsilon_cutoff": 1e-3, "eta_cutoff": 2e-3,
                             "depth_decoder_typical_p": 0.7, "depth_decoder_top_k": 0},
    "cutoffs beyond their range do not act": FULL | {
        "typical_p": 1.5, "epsilon_cutoff": 1.0, "eta_cutoff": -3, "depth_decoder_eta_cutoff": 7},
    "suppress_tokens": FULL | {"suppress_tokens": list(range(0, 1100, 2)) + [-1],
                               "depth_decoder_suppress_tokens": list(range(500))},
    "suppress_tokens, greedy": {"suppress_tokens": list(range(700)),
                                "depth_decoder_suppress_tokens": list(range(1, 1027, 2))},
    "begin_suppress_tokens": FULL | {"begin_suppress_tokens": list(range(800)),
                                     "depth_decoder_begin_suppress_tokens": list(range(900))},
    "begin_suppress_tokens, greedy": {"begin_suppress_tokens": list(range(1000)),
                                      "depth_decoder_begin_suppress_tokens": list(range(1000))},
    "bad_words_ids": FULL | {"bad_words_ids": [[i] for i in range(0, 1027, 3)],
                             "depth_decoder_bad_words_ids": [[i] for i in range(300)]},
    "the end's code is no bad word": {"bad_words_ids": [[i] for i in range(1000)],
                                      "eos_token_id": list(range(200))},
    "the depth decoder's repetition_penalty": FULL | {"depth_decoder_repetition_penalty": 1.9},
    "the depth decoder's repetition_penalty, greedy": {"depth_decoder_repetition_penalty": 30.0},
    "the depth decoder's repetition_penalty below 1": {"depth_decoder_repetition_penalty": 0.01},
    "no code twice in a frame": DRAWN | {"depth_decoder_no_repeat_ngram_size": 1,
                                         "depth_decoder_temperature": 0.2},
    "no pair of codes twice in a frame": {"depth_decoder_no_repeat_ngram_size": 2,
                                          "depth_decoder_repetition_penalty": 0.001},
    "the depth decoder's end is never drawn": {"depth_decoder_eos_token_id": list(range(800))},
    "what transformers made of config.json has no keys of the depth decoder": FULL | {
        "_from_model_config": True, "depth_decoder_top_p": 0.3},
    "padding that no frame begins with": FULL | {"depth_decoder_pad_token_id": 2050},
    "padding that ends speech, too": FULL | {"depth_decoder_pad_token_id": 0,
                                             "depth_decoder_eos_token_id": [3, 0]},
    "forced ids are never forced": {"forced_bos_token_id": None, "suppress_tokens": []},
}
# A prompt of as many positions as a frame has codes: begin_suppress_tokens of transformers
# then act at each frame.
TEXTS = {"begin_suppress_tokens at each frame": "Hi."}
FILES |= {name: FILES["begin_suppress_tokens"] for name in TEXTS}

REFUSED = {
    "typical_p": FULL | {"typical_p": 0}, "top_h": {"top_h": 1.5},
    "depth_decoder_typical_p": FULL | {"depth_decoder_typical_p": -0.5},
    "repetition_penalty": {"repetition_penalty": 1.2},
    "depth_decoder_repetition_penalty": {"depth_decoder_repetition_penalty": 0},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 1.2},
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 2},
    "depth_decoder_encoder_repetition_penalty": {"depth_decoder_encoder_repetition_penalty": 2},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 3}, "num_beams": {"num_beams": 4},
    "suppress_tokens": FULL | {"suppress_tokens": [1, 2.5]},
    "depth_decoder_suppress_tokens": FULL | {"depth_decoder_suppress_tokens": "7"},
    "bad_words_ids": FULL | {"bad_words_ids": [[5], [6, 7]]},
    "depth_decoder_bad_words_ids": {"depth_decoder_bad_words_ids": []},
    "begin_suppress_tokens": FULL | {"begin_suppress_tokens": [5000]},
    "sequence_bias": {"sequence_bias": [[[3], 1.0]]}, "guidance_scale": {"guidance_scale": 2.0},
    "forced_bos_token_id": {"forced_bos_token_id": 3}, "penalty_alpha": {"penalty_alpha": 0.6},
    "renormalize_logits": {"renormalize_logits": True}, "top_p": FULL | {"top_p": 0.0},
    "min_new_tokens": {"eos_token_id": 3, "min_new_tokens": 4},
    "min_new_tokens ": {"eos_token_id": [3], "min_new_tokens": 0},
    "watermarking_config": {"watermarking_config": {"greenlist_ratio": 0.25}},
    "depth_decoder_max_new_tokens": {"depth_decoder_max_new_tokens": 5},
    "do_sample": {"do_sample": "yes"},
    "depth_decoder_pad_token_id": FULL | {"depth_decoder_pad_token_id": 0},
    "depth_decoder_pad_token_id ": {"depth_decoder_pad_token_id": 7, "depth_decoder_eos_token_id": 3},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    print(f"CSM_SEED={SEED}")
    directory = endless_golden(tmp_path_factory.mktemp("model") / "m")
    (directory / "generation_config.json").unlink()
    return directory


def with_file(made, tmp_path, content):
    model = shutil.copytree(made, tmp_path / "m")
    (model / "generation_config.json").write_text(json.dumps(
        content | {"max_new_tokens": FRAMES}))
    return model


def codes_of(csm, model, *more, check=True, text="Hello there."):
    out = model.parent / "t.safetensors"
    done = csm("generate", "--model-path", model, "--text", text, "--engine", "native",
               "--strategy", "exact", "--dtype", "f32", "--seed", SEED, "--output", "none",
               "--save-tokens", out, "--quiet", *more, check=False)
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return load_file(out)


@torch.no_grad()
def tokens_of(model, text="Hello there.", **settings):
    reference = transformers.CsmForConditionalGeneration.from_pretrained(
        model, dtype=torch.float32).eval()
    ids = torch.tensor([text_ids(model, text, 0)])
    torch.manual_seed(SEED)
    return reference.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[0]


def assert_same(got, want):
    codes = got["codes"].long()
    assert codes.shape == want.shape
    for f in range(len(codes)):
        for k in range(codes.shape[1]):
            if codes[f, k] != want[f, k]:
                # Logits of some units, float32's rounding: 1e-4 decides nothing else.
                assert got["margins"][f, k] < 1e-3, (f, k, float(got["margins"][f, k]))
                return


@pytest.mark.parametrize("case", FILES)
def test_tokens_are_those_of_transformers(csm, made, tmp_path, case):
    model = with_file(made, tmp_path, FILES[case])
    text = TEXTS.get(case, "Hello there.")
    if case in TEXTS:
        config = json.loads((model / "config.json").read_text())
        assert len(text_ids(model, text, 0)) == config["num_codebooks"]
    assert_same(codes_of(csm, model, "--max-audio-length-ms", 80 * FRAMES, text=text),
                tokens_of(model, text))


@pytest.mark.parametrize("settings", [FULL, {"do_sample": True, "temperature": 0.3, "top_k": 3}, {"top_k": 7},
                                      DRAWN | {"top_p": 0.4, "depth_decoder_top_p": 0.5},
                                      DRAWN | {"typical_p": 0.5, "depth_decoder_min_p": 0.2},
                                      FULL | {"suppress_tokens": list(range(0, 1100, 2))}])
def test_without_the_file_settings_in_config_json_are_transformers(csm, made, tmp_path, settings):
    """As versions before 4.26 kept them."""
    model = with_file(made, tmp_path, {})
    (model / "generation_config.json").unlink()
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    assert_same(codes_of(csm, model, "--max-audio-length-ms", 80 * FRAMES), tokens_of(model, max_new_tokens=FRAMES))


@pytest.mark.parametrize("more, is_told", [({"max_length": 40}, True), ({"max_length": 40, "max_new_tokens": 5}, False),
                                           ({"max_length": 2048}, False)])
def test_a_length_that_counts_the_prompt_is_told(csm, made, tmp_path, more, is_told):
    model = with_file(made, tmp_path, FULL)
    (model / "generation_config.json").write_text(json.dumps(FULL | more))
    done = csm("generate", "--model-path", model, "--text", "Hi.", "--output", "none", "--max-audio-length-ms", 80)
    assert ("max_length 40 is not used" in done.stderr) == is_told


@pytest.mark.parametrize("part", [None, "depth_decoder_config"])
@pytest.mark.parametrize("window, is_refused", [(4, True), (0, True), (None, False), (1 << 20, False)])
def test_a_window_over_the_keys_is_refused(csm, made, tmp_path, part, window, is_refused):
    model = with_file(made, tmp_path, FULL)
    root = json.loads((model / "config.json").read_text())
    (root[part] if part else root)["sliding_window"] = window
    (model / "config.json").write_text(json.dumps(root))
    done = csm("info", model, check=False)
    assert (done.returncode == 3 and "sliding_window" in done.stderr) == is_refused


@pytest.mark.parametrize("flags, settings", [
    (("--top-p", 0.4), {"top_p": 0.4, "depth_decoder_top_p": 0.4}),
    (("--min-p", 0.3), {"min_p": 0.3, "depth_decoder_min_p": 0.3}),
    (("--depth-top-p", 0.2), {"depth_decoder_top_p": 0.2}),
    (("--depth-min-p", 0.4, "--top-p", 0.9), {"top_p": 0.9, "depth_decoder_top_p": 0.9,
                                              "depth_decoder_min_p": 0.4}),
    (("--top-p", 1, "--min-p", 0, "--topk", 0), {"top_k": 0, "depth_decoder_top_k": 0})])
def test_the_commands_options_go_before_the_file(csm, made, tmp_path, flags, settings):
    model = with_file(made, tmp_path, FULL)
    got = codes_of(csm, model, "--max-audio-length-ms", 80 * FRAMES, *flags)
    assert_same(got, tokens_of(model, **settings))


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_done_is_refused_by_name(csm, made, tmp_path, key):
    done = codes_of(csm, with_file(made, tmp_path, REFUSED[key]), check=False)
    assert done.returncode == 3 and done.stderr.startswith("csm: generation_config.json: " + key.strip())
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content, said", [
    ({"typical_p": "0.5"}, "typical_p: expected a number above 0, up to 1"),
    ({"depth_decoder_top_h": [1]}, "depth_decoder_top_h: expected a number above 0, up to 1"),
    ({"eta_cutoff": "x"}, "eta_cutoff: expected a number, 0 to 1 (else it does not act)"),
    ({"guidance_scale": "x"}, "guidance_scale: expected a number")])
def test_what_is_no_number_is_told_which_would_be_right(csm, made, tmp_path, content, said):
    done = codes_of(csm, with_file(made, tmp_path, FULL | content), check=False)
    assert done.returncode == 3 and done.stderr == f"csm: generation_config.json: {said}\n"


@pytest.mark.parametrize("content, where, names", [
    ({"suppress_tokens": list(range(2000))}, "codebook 0", "suppress_tokens"),
    ({"depth_decoder_suppress_tokens": list(range(2000))}, "codebook 1", "depth_decoder_suppress_tokens")])
def test_rules_that_leave_no_code_are_told(csm, made, tmp_path, content, where, names):
    done = codes_of(csm, with_file(made, tmp_path, FULL | content), check=False)
    assert done.returncode == 3
    assert done.stderr == (f"csm: frame 0, {where}: the rules of generation_config.json ({names}) leave no "
                           "code, expected one at least\n")


@pytest.mark.parametrize("flag", ["--top-p=0", "--top-p=1.5", "--min-p=-0.1", "--depth-top-p=-1",
                                  "--depth-min-p=2"])
def test_options_out_of_range_are_refused(csm, made, tmp_path, flag):
    done = codes_of(csm, with_file(made, tmp_path, FULL), flag, check=False)
    assert done.returncode == 2 and flag[2:].split("=")[0].removeprefix("depth-") in done.stderr


@pytest.mark.parametrize("more, is_said", [({}, False), ({"depth_decoder_temperature": 0.5}, True),
                                           ({"depth_decoder_max_new_tokens": 7}, False)])
def test_keys_that_nobody_reads_are_said(csm, made, tmp_path, more, is_said):
    """transformers writes this file itself, with the lengths."""
    model = with_file(made, tmp_path, {"_from_model_config": True} | more)
    done = codes_of(csm, model, check=False)
    assert done.returncode == 0
    assert ("depth_decoder_* keys are not used" in done.stderr) == is_said
