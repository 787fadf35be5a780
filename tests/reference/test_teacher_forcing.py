# SPDX-License-Identifier: Apache-2.0
"""Exact draws after hybrid's history, codes of PyTorch whatever was drawn: they are
PyTorch's but where a race is closer than the logits are, and csm analyze tells which."""

import json

import pytest
from safetensors.numpy import load_file, save_file

from transformers_frames import GOLDEN, endless_golden

FRAMES, SEED = 60, 5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return endless_golden(tmp_path_factory.mktemp("models") / "csm-a")


@pytest.fixture(scope="module")
def generated(csm, model, tmp_path_factory):
    def run(*args, check=True):
        out = tmp_path_factory.mktemp("run") / "t.safetensors"
        done = csm("generate", "--text", "Hello there.", "--model-path", model, "--output", "none",
                   "--save-tokens", out, "--save-logits", "--seed", SEED,
                   "--max-audio-length-ms", 80 * FRAMES, *args, check=check)
        return out if check else done

    return run


@pytest.fixture(scope="module")
def hybrid(generated):
    return generated("--pytorch-tokens", "--dtype", "f32")


def compared(csm, a, b):
    return json.loads(csm("analyze", a, b, "--json", check=False).stdout)


@pytest.mark.parametrize("engine", ["native", "mlx"])
def test_draws_are_those_of_pytorch(csm, generated, hybrid, engine):
    exact = generated("--use-exact-sampling", "--engine", engine, "--dtype", "f32",
                      "--forced-tokens", hybrid)
    assert (load_file(exact)["forced"] == load_file(hybrid)["codes"]).all()
    report = compared(csm, hybrid, exact)
    table = report["forced"]
    assert (table["frames"], table["draws"]) == (FRAMES, FRAMES * 8)
    assert table["equal"] >= 0.999 * table["draws"]
    assert len(table["unequal"]) == table["draws"] - table["equal"] == table["close"]
    assert report["logits"]["rows_compared"] == table["draws"] and report["holds"]


def test_unequal_draws_are_listed_with_what_explains_them(csm, generated, hybrid):
    """bfloat16 on one side: enough of them. A code that no rounding explains is told."""
    coarse = generated("--pytorch-tokens", "--dtype", "bf16", "--forced-tokens", hybrid)
    a, b = load_file(hybrid), load_file(coarse)
    table = compared(csm, hybrid, coarse)["forced"]
    wrong = {tuple(x) for x in zip(*(a["codes"] != b["codes"]).nonzero())}
    assert {(d["frame"], d["codebook"]) for d in table["unequal"]} == wrong and wrong
    for draw in table["unequal"]:
        at = draw["frame"], draw["codebook"]
        assert draw["code_a"] == a["codes"][at] and draw["code_b"] == b["codes"][at]
        # the report's digits of a float32; differences of logits lose two more
        assert draw["margin_a"] == pytest.approx(a["margins"][at], rel=1e-6)
        difference = a["logits"][at] - b["logits"][at]
        error = abs(difference - difference.mean()).max()
        assert draw["logit_error"] == pytest.approx(error, rel=1e-4)
        assert draw["reach"] == pytest.approx(2 * error / 0.9, rel=1e-4)
        assert draw["close"] == (min(draw["margin_a"], draw["margin_b"]) <= draw["reach"])

    planted = coarse.with_name("planted.safetensors")
    at = tuple(x[0] for x in (a["margins"] > 2).nonzero())
    b["codes"][at] += 1
    b["margins"][at] = 3
    save_file(b, planted, {"temperature": "0.9", "topk": "50", "seed": str(SEED)})
    report = compared(csm, hybrid, planted)
    assert report["forced"]["close"] == table["close"], "the planted one is not close"
    assert (report["verdict"], report["holds"]) == ("noise", False), report["explanation"]


def test_another_history_is_not_compared(csm, generated, hybrid):
    other = generated("--use-exact-sampling", "--engine", "native", "--seed", SEED + 1)
    forced = generated("--use-exact-sampling", "--engine", "native", "--forced-tokens", other)
    assert compared(csm, hybrid, forced)["forced"] is None
    assert compared(csm, hybrid, hybrid)["forced"] is None


def test_codes_that_do_not_fit_are_refused(generated, tmp_path, hybrid):
    codes = load_file(hybrid)["codes"]
    for name, wrong in ("narrow", codes[:, :3].copy()), ("high", codes + 100000):
        save_file({"codes": wrong}, tmp_path / name)
        done = generated("--engine", "native", "--forced-tokens", tmp_path / name, check=False)
        assert done.returncode in (2, 3) and done.stderr.startswith("csm: "), done
        assert done.stderr.count("\n") == 1
