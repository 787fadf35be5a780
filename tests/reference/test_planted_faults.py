# SPDX-License-Identifier: Apache-2.0
"""csm analyze against faults planted in a port of CSM over the real transformers
modules (planted.py): each is to be named, with metadata that does not tell of it."""

import json
import pathlib

import pytest
import torch
from safetensors.torch import save_file
from transformers import CsmForConditionalGeneration

import planted

MODEL = pathlib.Path(__file__).resolve().parents[1] / "golden" / "csm-a"
SEEDS = list(range(100, 120))
FRAMES = 80

# verdict and cause of each fault, given logits and hidden states
NAMES = {
    "temperature": ("sampler", {"temperature"}),
    "top_k": ("sampler", {"top_k"}),
    "dtype": ("sampler", {"dtype"}),
    "stream_offset": ("noise", {"stream_offset"}),
    "rotation": ("logits", {"rotation"}),
    "layer": ("logits", {"layer"}),
    "codebook": ("logits", {"codebook"}),
    "seed": ("noise", {"seed"}),
    "quantization": ("logits", {"quantization"}),
}
# what a file without logits and hidden states still gives
FEW = {"codes", "margins", "probs"}


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return CsmForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def prompt():
    return torch.tensor([[516] + [b % 516 for b in b"[0]Hello there, how are you?"] + [517]])


@pytest.fixture(scope="module")
def reference(model, prompt):
    return planted.run(model, prompt, SEEDS, FRAMES)


def verdict(csm, tmp_path, a, b, metadata=None, keep=None):
    paths = []
    for name, run in (("a", a), ("b", b)):
        path = tmp_path / f"{name}.safetensors"
        tensors = {k: v for k, v in run["tensors"].items() if keep is None or k in keep}
        save_file(tensors, path, metadata=metadata or run["metadata"])
        paths.append(path)
    return json.loads(csm("analyze", *paths, "--json", check=False).stdout)


@pytest.mark.parametrize("fault", planted.FAULTS)
def test_a_planted_fault_is_named(csm, tmp_path, model, prompt, reference, fault):
    expected, causes = NAMES[fault]
    faulty = planted.run(model, prompt, SEEDS, FRAMES, fault)
    wrong = []
    for seed, a, b in zip(SEEDS, reference, faulty):
        report = verdict(csm, tmp_path, a, b, metadata=a["metadata"])
        found = report["verdict"], report["cause"]
        if found[0] != expected or found[1] not in causes:
            wrong.append((seed, *found))
    assert not wrong, f"{fault}: {len(SEEDS) - len(wrong)} of {len(SEEDS)} right, not {wrong}"

    for a, b in list(zip(reference, faulty))[:4]: # honest files without logits
        report = verdict(csm, tmp_path, a, b, keep=FEW)
        assert report["verdict"] == expected, report["explanation"]
        assert report["first_divergence"]["margin_a"] >= 0


def test_rounding_is_not_called_a_fault(csm, tmp_path, model, prompt, reference):
    """float64 against float32: the same codes, or a difference at a close race."""
    wide = planted.run(model.double(), prompt, SEEDS[:4], FRAMES)
    model.float()
    for a, b in zip(reference, wide):
        b["tensors"] = {k: v.float() if v.is_floating_point() else v
                        for k, v in b["tensors"].items()}
        assert verdict(csm, tmp_path, a, b)["holds"]


def test_noise_under_logits_kept_in_16_bits_is_no_sampler(csm, tmp_path, model, prompt, reference):
    """Drawn in float32 from logits that differ by a thousandth, which the files round to bfloat16:
    that turns races, and moves codes across the end of top-k."""
    noisy = planted.run(model, prompt, SEEDS[:8], FRAMES, "noise")
    found = set()
    for pair in zip(reference, noisy):
        a, b = ({"metadata": run["metadata"], "tensors": {
            "codes": run["tensors"]["codes"], "margins": run["tensors"]["margins"],
            "logits": run["tensors"]["logits"].bfloat16()}} for run in pair)
        found.add(verdict(csm, tmp_path, a, b)["verdict"])
    assert found <= {"same", "rounding"} and "rounding" in found


def test_two_seeds_are_alike(csm, tmp_path, model, prompt, reference):
    """False alarms of the two-sample test on a real model's draws, at p = 0.05."""
    alarms = 0
    pairs = [(a, b) for i, a in enumerate(reference) for b in reference[i + 1:]][:60]
    for a, b in pairs:
        alarms += not verdict(csm, tmp_path, a, b, keep={"codes"})["alike"]
    assert alarms <= 9, f"{alarms} of {len(pairs)}"  # 3 expected; 9 has a chance of 0.3 %
